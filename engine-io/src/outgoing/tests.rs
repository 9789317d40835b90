//! Packets, byte by byte, in each form.

use super::*;

const BASE64: Framing = Framing {
    deflate: None,
    base64: true,
};

fn wire(packet: &Outgoing, skip: usize) -> Vec<u8> {
    framed(packet, Framing::default(), skip)
}

fn framed(packet: &Outgoing, framing: Framing, skip: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    packet.pieces(framing, skip, |piece| {
        wire.extend_from_slice(piece);
        true
    });
    wire
}

#[test]
fn a_handle_is_one_word() {
    assert_eq!(size_of::<Outgoing>(), size_of::<usize>());
}

#[test]
fn frames_of_text_and_attachments_are_encoded_once() {
    let packet = Outgoing::build(
        2,
        |text| text.extend_from_slice(b"hi"),
        &[Bytes::from_static(&[1, 2, 3, 4])],
    );
    let expected = [0x81, 3, b'4', b'h', b'i', 0x82, 4, 1, 2, 3, 4];
    assert_eq!(wire(&packet, 0), expected);
    assert_eq!(packet.wire_len(Framing::default()), expected.len());
    for skip in 0..=expected.len() {
        assert_eq!(wire(&packet, skip), expected[skip..], "skip {skip}");
    }
}

#[test]
fn every_length_gets_its_header() {
    for (length, head) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let packet = Outgoing::text(&"x".repeat(length - 1));
        let wire = wire(&packet, 0);
        assert_eq!(wire.len(), head + length);
        assert_eq!(wire[head], b'4');
    }
}

#[test]
fn bytes_in_base64_are_frames_of_text() {
    let packet = Outgoing::build(
        2,
        |text| text.extend_from_slice(b"hi"),
        &[Bytes::from_static(&[1, 2, 3, 4]), Bytes::new()],
    );
    let expected = b"\x81\x034hi\x81\x09bAQIDBA==\x81\x01b";
    assert_eq!(packet.wire_len(BASE64), expected.len());
    for skip in 0..=expected.len() {
        assert_eq!(framed(&packet, BASE64, skip), expected[skip..], "skip {skip}");
    }
    for length in [92, 93, 94, 49_149, 49_150, 49_153] {
        let packet = Outgoing::binary(vec![0; length].into());
        assert_eq!(framed(&packet, BASE64, 0).len(), packet.wire_len(BASE64), "{length}");
    }
}

#[test]
fn payloads_hold_base64_without_a_type_digit() {
    let packets = |message: &Outgoing| {
        let all = (0..message.num_packets()).map(|n| message.payload_packet(n).to_vec());
        all.collect::<Vec<_>>()
    };
    let both = Outgoing::build(
        2,
        |text| text.extend_from_slice(b"hi"),
        &[Bytes::from_static(&[1, 2, 3, 4])],
    );
    let binary = Outgoing::binary(Bytes::from_static(&[1, 2, 3, 4]));
    assert_eq!(packets(&both), [&b"4hi"[..], b"bAQIDBA=="]);
    assert_eq!(both.payload_len(), "4hi-bAQIDBA==".len());
    assert_eq!(packets(&binary), [b"bAQIDBA=="]);
    assert_eq!(binary.shared_payload_packet(0), "bAQIDBA==");
    assert_eq!(binary.payload_len(), "bAQIDBA==".len());
}
