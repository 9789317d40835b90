//! JSON. It cannot carry binary: the caller chooses MessagePack where there are attachments.

use std::io::Write as _;

use bytes::Bytes;
use manager_api::Payload;

use super::Format;

/// JSON text.
#[derive(Default)]
pub(crate) struct Json(Vec<u8>);

impl Json {
    fn separate(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[')) {
            self.0.push(b',');
        }
    }
}

impl Format for Json {
    fn map(&mut self, _: u32, write: impl FnOnce(&mut Self)) {
        self.0.push(b'{');
        write(self);
        self.0.push(b'}');
    }

    fn list(&mut self, _: u32, write: impl FnOnce(&mut Self)) {
        self.0.push(b'[');
        write(self);
        self.0.push(b']');
    }

    fn key(&mut self, name: &str) {
        self.separate();
        self.text(name);
        self.0.push(b':');
    }

    fn element(&mut self) {
        self.separate();
    }

    fn text(&mut self, text: &str) {
        serde_json::to_writer(&mut self.0, text).expect("a string is JSON");
    }

    fn uint(&mut self, number: u64) {
        write!(self.0, "{number}").expect("writing to memory");
    }

    fn bool(&mut self, bool: bool) {
        self.0.extend_from_slice(if bool { b"true" } else { b"false" });
    }

    fn number(&mut self, digits: &str) {
        self.0.extend_from_slice(digits.as_bytes());
    }

    fn event(&mut self, event: &str, payload: &Payload) {
        let arguments = payload.inner_json();
        self.0.push(b'[');
        self.text(event);
        if !arguments.is_empty() {
            self.0.push(b',');
            self.0.extend_from_slice(arguments);
        }
        self.0.push(b']');
    }

    fn json(&mut self, json: &str, _: &[Bytes]) {
        self.0.extend_from_slice(json.as_bytes());
    }

    fn into_vec(self) -> Vec<u8> {
        self.0
    }
}
