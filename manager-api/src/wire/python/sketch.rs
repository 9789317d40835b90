//! The readable fields of a message that is not valid JSON, so that an operator can find its sender.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::log::Escaped;

/// The fields of a message that identify its sender. `Display` formats them for the log, escaped and cut.
#[derive(Debug)]
pub struct Sketch {
    fields: Vec<(&'static str, String)>,
    has_nan: bool,
}

impl Sketch {
    /// Reads the readable fields. `NaN` and `Infinity`, which Python's `json.dumps` writes and JSON does not have, are
    /// skipped.
    pub fn of(message: &[u8]) -> Self {
        let (repaired, has_nan) = without_nan(message);
        let fields = serde_json::from_slice::<Fields<'_>>(&repaired).map_or_else(|_| Vec::new(), Fields::known);
        Self { fields, has_nan }
    }
}

impl fmt::Display for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if self.has_nan {
            f.write_str("it has NaN or Infinity, which is not JSON: let the publisher send null")?;
            separator = "; ";
        }
        for (name, value) in &self.fields {
            write!(f, "{separator}{name}={:?}", Escaped(value))?;
            separator = " ";
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    room: Option<&'a RawValue>,
    #[serde(borrow, default)]
    host_id: Option<Cow<'a, str>>,
}

impl Fields<'_> {
    fn known(self) -> Vec<(&'static str, String)> {
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        let room = self.room.map(|room| room.get().trim_matches('"').to_owned());
        [
            ("method", text(self.method)),
            ("event", text(self.event)),
            ("namespace", text(self.namespace)),
            ("room", room),
            ("host_id", text(self.host_id)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Replaces `NaN` and infinities outside of strings by `null`; returns whether there were any.
fn without_nan(message: &[u8]) -> (Cow<'_, [u8]>, bool) {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::new();
    let (mut at, mut copied, mut is_text) = (0, 0, false);
    while at < message.len() {
        match message[at] {
            b'"' => is_text = !is_text,
            b'\\' if is_text => at += 1,
            b'-' | b'I' | b'N' if !is_text => {
                if let Some(word) = WORDS.iter().find(|word| message[at..].starts_with(word)) {
                    out.extend_from_slice(&message[copied..at]);
                    out.extend_from_slice(b"null");
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return (message.into(), false);
    }
    out.extend_from_slice(&message[copied..]);
    (out.into(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_nan_names_event_room_and_publisher() {
        let message = br#"{"method":"emit","event":"temp\n","data":[NaN,{"a":[-Infinity,Infinity]},"NaN\"Infinity"],"namespace":"/n","room":"lobby","host_id":"abc"}"#;
        assert_eq!(
            Sketch::of(message).to_string(),
            "it has NaN or Infinity, which is not JSON: let the publisher send null; method=\"emit\" event=\"temp\\\\n\" namespace=\"/n\" room=\"lobby\" host_id=\"abc\""
                .replace("\\\\n", "\\n")
        );
    }

    #[test]
    fn what_is_not_json_at_all_has_no_fields() {
        for message in [&b""[..], b"\x80", b"NaNa", b"[1", b"\"\\", b"-", b"{\"event\":7}"] {
            let text = Sketch::of(message).to_string();
            assert!(!text.contains('='), "{text}");
        }
        assert_eq!(Sketch::of(b"{\"event\":\"a\",\"data\":x}").to_string(), "");
    }
}
