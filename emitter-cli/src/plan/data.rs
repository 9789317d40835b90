//! Arguments of an event from the command line, files and standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use manager_api::Payload;
use manager_api::payload::PayloadBuilder;

use super::encoding;
use crate::failure::Failure;

/// Puts the arguments together: each DATA, then each binary file.
pub(super) fn payload(data: &[String], text: bool, binary: &[PathBuf], max_bytes: usize) -> Result<Payload, Failure> {
    if data.iter().filter(|argument| *argument == "@-").count() > 1 {
        return Err(Failure::input(
            "@- can stand for one argument only: standard input is read once",
        ));
    }
    let mut builder = Payload::builder();
    for (index, argument) in data.iter().enumerate() {
        builder = add(builder, argument, text, max_bytes).map_err(|error| {
            let attempt = format!("cannot use argument {} of the event", index + 1);
            Failure::Input(error.context(attempt))
        })?;
    }
    for path in binary {
        let bytes = read_file(path, max_bytes).map_err(Failure::Input)?;
        builder = builder.binary(bytes);
    }
    let payload = builder.build();
    if payload.size() > max_bytes {
        return Err(Failure::input(format!(
            "the arguments have {} bytes; at most {max_bytes} can be sent",
            payload.size()
        )));
    }
    Ok(payload)
}

fn add(builder: PayloadBuilder, argument: &str, text: bool, max_bytes: usize) -> anyhow::Result<PayloadBuilder> {
    let from_file;
    let content = match argument.strip_prefix('@') {
        Some(rest) if text && rest.starts_with('@') => rest,
        Some(source) => {
            from_file = read_text(source, max_bytes)?;
            &from_file
        }
        None => argument,
    };
    if text {
        return Ok(builder.text(content));
    }
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    builder.json(content).map_err(|error| {
        let hint = if argument.starts_with('@') {
            ""
        } else {
            " (to send it as text, add --text)"
        };
        anyhow::Error::new(error).context(format!("{} is not JSON{hint}", excerpt(argument)))
    })
}

/// The start of what the user typed, to recognise it by.
fn excerpt(argument: &str) -> String {
    let shown: String = argument.chars().take(40).collect();
    let more = if shown.len() < argument.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

fn read_text(source: &str, max_bytes: usize) -> anyhow::Result<String> {
    let bytes = match source {
        "-" => read(io::stdin().lock(), "standard input", max_bytes)?,
        path => read_file(Path::new(path), max_bytes)?,
    };
    let text = encoding::without_mark(&bytes).map_err(|name| anyhow::anyhow!("@{source} is {name}"))?;
    let text = std::str::from_utf8(text);
    text.map(str::to_owned)
        .map_err(|error| anyhow::Error::new(error).context(format!("@{source} is not UTF-8 text")))
}

fn read_file(path: &Path, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| anyhow::Error::new(error).context(format!("cannot read {name}")))?;
    read(file, &name, max_bytes)
}

fn read(source: impl Read, name: &str, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let result = source.take(limit).read_to_end(&mut bytes);
    result.map_err(|error| anyhow::Error::new(error).context(format!("cannot read {name}")))?;
    if bytes.len() > max_bytes {
        anyhow::bail!("{name} is larger than the {max_bytes} bytes that can be sent");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(data: &[&str], text: bool) -> Result<String, String> {
        let data: Vec<String> = data.iter().map(|argument| (*argument).to_owned()).collect();
        match payload(&data, text, &[], 100) {
            Ok(payload) => Ok(payload.json().to_owned()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn each_argument_is_one_json_value_kept_as_it_is() {
        assert_eq!(json(&[], false).unwrap(), "[]");
        assert_eq!(
            json(&["{\"b\": 1e2,\"a\":1}", " null "], false).unwrap(),
            "[{\"b\": 1e2,\"a\":1},null]"
        );
        assert_eq!(json(&["1 \"x\"", "@@me"], true).unwrap(), "[\"1 \\\"x\\\"\",\"@me\"]");
    }

    #[test]
    fn what_is_no_json_is_named_with_place_and_reason() {
        let said = json(&["1", "{\"a\":}"], false).unwrap_err();
        assert!(
            said.contains("argument 2") && said.contains("line 1 column 6"),
            "{said}"
        );
        assert!(json(&["hello"], false).unwrap_err().contains("--text"));
        assert!(json(&["1 2"], false).is_err(), "two values in one argument");
        assert!(json(&[""], false).is_err());
    }

    #[test]
    fn files_are_read_within_the_limit() {
        let said = json(&["@/no/such/file"], false).unwrap_err();
        assert!(said.contains("cannot read /no/such/file"), "{said}");
        let said = json(&["@/dev/zero"], true).unwrap_err();
        assert!(said.contains("larger than the 100 bytes"), "{said}");
        assert!(json(&["@-", "@-"], false).unwrap_err().contains("once"));
        assert!(json(&[&"9".repeat(101)], false).unwrap_err().contains("at most 100"));
    }
}
