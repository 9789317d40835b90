//! Sources of the broker's URL: the option `--url`, the variable `SIO_URL`, the file that `SIO_URL_FILE` names.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::failure::Failure;

const VARIABLE: &str = "SIO_URL";
const FILE_VARIABLE: &str = "SIO_URL_FILE";
/// The longest URL that is read from a file, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Returns the URL that the user named, without blanks around it; `None` if there is none.
///
/// The option comes first, then the variables. An empty variable is one that is not set.
///
/// # Errors
///
/// [`Failure::Input`] if both variables are set, or if the file cannot be used. No part of a URL is repeated.
pub(super) fn find(option: Option<String>) -> Result<Option<String>, Failure> {
    find_in(option, |name| env::var_os(name))
}

fn find_in(option: Option<String>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<String>, Failure> {
    if let Some(url) = option {
        return Ok(Some(url.trim().to_owned()));
    }
    let url = match variable(VARIABLE).map(OsString::into_string) {
        Some(Ok(url)) => Some(url.trim().to_owned()).filter(|url| !url.is_empty()),
        Some(Err(_)) => return Err(Failure::input(format!("{VARIABLE} is not UTF-8"))),
        None => None,
    };
    let file = variable(FILE_VARIABLE).filter(|file| !file.is_empty());
    match (url, file) {
        (Some(_), Some(_)) => Err(Failure::input(format!(
            "{VARIABLE} and {FILE_VARIABLE} are both set: unset one of them"
        ))),
        (url, None) => Ok(url),
        (None, Some(file)) => read(FILE_VARIABLE, Path::new(&file)).map(Some),
    }
}

/// Reads a URL from a file that `name` names.
///
/// # Errors
///
/// [`Failure::Input`] if the file cannot be used. No part of a URL is repeated.
pub(super) fn read(name: &str, path: &Path) -> Result<String, Failure> {
    let unusable = |why: &str| Failure::input(format!("{name}: {} {why}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unusable(&format!("cannot be opened: {error}")))?;
    let mut file = file.take(MAX_FILE_BYTES + 1);
    file.read_to_string(&mut text)
        .map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unusable("is longer than 64 KiB"));
    }
    let url = text.trim_start_matches('\u{feff}').trim();
    if url.is_empty() {
        return Err(unusable("holds no URL"));
    }
    if url.contains('\n') {
        return Err(unusable("has more than one line"));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(option: Option<&str>, url: Option<&str>, file: Option<&str>) -> Result<Option<String>, String> {
        let variable = |name: &str| match name {
            VARIABLE => url.map(OsString::from),
            _ => file.map(OsString::from),
        };
        find_in(option.map(str::to_owned), variable).map_err(|failure| {
            assert_eq!(failure.code(), 2);
            failure.to_string()
        })
    }

    #[test]
    fn blanks_around_a_url_are_taken_off_and_an_empty_variable_is_not_set() {
        let url = Ok(Some("redis://h".to_owned()));
        for text in ["redis://h", " redis://h\n", "\tredis://h\r\n"] {
            assert_eq!(found(None, Some(text), None), url);
            assert_eq!(found(Some(text), Some("redis://other"), Some("/file")), url);
        }
        for empty in [None, Some(""), Some(" \n")] {
            assert_eq!(found(None, empty, None), Ok(None));
            assert_eq!(found(None, empty, Some("")), Ok(None));
        }
        assert_eq!(found(Some(""), Some("redis://h"), None), Ok(Some(String::new())));
    }

    #[test]
    fn a_url_is_read_from_a_file_and_never_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &[u8]| {
            let path = folder.path().join("url");
            std::fs::write(&path, text).unwrap();
            found(None, Some(" "), path.to_str())
        };
        let url = Ok(Some("redis://:secret@h".to_owned()));
        assert_eq!(file(b"redis://:secret@h\n"), url);
        assert_eq!(file("\u{feff}redis://:secret@h\r\n\r\n".as_bytes()), url);
        let long = b"secret".repeat(100_000);
        for bad in [&b""[..], b" \n", b"redis://:secret@h\nredis://h", b"secret\xff", &long] {
            let said = file(bad).unwrap_err();
            assert!(said.contains("SIO_URL_FILE") && !said.contains("secret"), "{said}");
        }
        assert!(
            found(None, None, Some("/nonexistent/url"))
                .unwrap_err()
                .contains("/nonexistent")
        );
        let both = found(None, Some("redis://:secret@h"), Some("/f")).unwrap_err();
        assert!(both.contains("both set") && !both.contains("secret"), "{both}");
    }
}
