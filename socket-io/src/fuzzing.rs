//! The parsers, for `fuzz/`.

use crate::config::Parser;
use crate::packet::{self, Packet};

/// Reads a packet whose attachments have come.
pub fn packet(text: &str, attachments: Vec<Vec<u8>>) {
    let Ok(packet) = Packet::parse(text) else {
        return;
    };
    let attachments: Vec<bytes::Bytes> = attachments.into_iter().map(Into::into).collect();
    let _ = packet::event(packet.json, attachments.clone(), Parser::Json);
    let _ = packet::ack_payload(packet.json, attachments, Parser::Json);
}
