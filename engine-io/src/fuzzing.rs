//! The parsers, for the fuzz targets; compiled with `--cfg fuzzing` only.
#![allow(missing_docs)] // not part of the public interface

use crate::packet::Packet;
use crate::websocket::frame::{Decoder, Event, Front};
use crate::websocket::violation::Violation;

/// The limit of a message.
const MAX: usize = 5000;

pub fn packet(text: &str) {
    if let Ok(Packet::Binary(data)) = Packet::parse(text) {
        assert!(data.len() < text.len());
    }
}

/// Reads frames in one piece, and cut at `cut`.
pub fn frames(bytes: &[u8], cut: usize, deflate: bool) {
    let (whole, whole_end) = read(&mut Decoder::default(), &mut bytes.to_vec(), deflate);
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let mut decoder = Decoder::default();
    let (mut pieces, mut end) = read(&mut decoder, &mut first.to_vec(), deflate);
    if let Ok(used) = end {
        let (more, last) = read(&mut decoder, &mut [&first[used..], second].concat(), deflate);
        pieces.extend(more);
        end = last.map(|more| used + more);
    }
    assert_eq!((pieces, end), (whole, whole_end));
}

/// Reads as many frames as there are; returns them, and how much of the buffer they were or the
/// violation.
fn read(decoder: &mut Decoder, buffer: &mut [u8], deflate: bool) -> (Vec<String>, Result<usize, Violation>) {
    let mut events = Vec::new();
    let mut at = 0;
    loop {
        match decoder.next(&mut buffer[at..], MAX, deflate) {
            Err(violation) => return (events, Err(violation)),
            Ok(Front::Incomplete(need)) => {
                assert!(need > buffer.len() - at);
                return (events, Ok(at));
            }
            Ok(Front::Event(event, used)) => {
                if let Event::Binary(data) | Event::Ping(data) = event {
                    assert!(data.len() <= MAX);
                }
                events.push(format!("{event:?}"));
                at += used;
            }
        }
        assert!(decoder.unpacked() <= MAX);
    }
}
