//! MessagePack, as notepack.io and @msgpack/msgpack read it.

use bytes::Bytes;
use manager_api::Payload;
use msgpack::{write_array_behind, write_array_len, write_bool, write_json, write_map_len, write_text, write_uint};

use super::Format;

/// MessagePack bytes.
#[derive(Default)]
pub(crate) struct MsgPack(Vec<u8>);

impl Format for MsgPack {
    fn map(&mut self, len: u32, write: impl FnOnce(&mut Self)) {
        write_map_len(&mut self.0, len);
        write(self);
    }

    fn list(&mut self, len: u32, write: impl FnOnce(&mut Self)) {
        write_array_len(&mut self.0, len);
        write(self);
    }

    fn key(&mut self, name: &str) {
        write_text(&mut self.0, name);
    }

    fn element(&mut self) {}

    fn text(&mut self, text: &str) {
        write_text(&mut self.0, text);
    }

    fn uint(&mut self, number: u64) {
        write_uint(&mut self.0, number);
    }

    fn bool(&mut self, bool: bool) {
        write_bool(&mut self.0, bool);
    }

    fn number(&mut self, digits: &str) {
        write_json(&mut self.0, digits, &[]);
    }

    fn event(&mut self, event: &str, payload: &Payload) {
        write_array_behind(&mut self.0, event, payload.json(), payload.attachments());
    }

    fn json(&mut self, json: &str, attachments: &[Bytes]) {
        write_json(&mut self.0, json, attachments);
    }

    fn into_vec(self) -> Vec<u8> {
        self.0
    }
}
