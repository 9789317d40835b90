//! Frames, byte by byte.

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(MASKED | length as u8),
        length @ 126..=65_535 => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

#[test]
fn messages_of_every_header_length_are_unmasked() {
    for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_001] {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut frame = client_frame(0x82, &payload);
        let total = frame.len();
        let mut decoder = Decoder::default();
        assert_eq!(
            decoder.next(&mut frame, 100_000, false),
            Ok(Front::Event(Event::Binary(&payload), total))
        );
    }
}

#[test]
fn a_cut_frame_says_what_it_needs() {
    let frame = client_frame(0x81, &[b'x'; 300]);
    let mut decoder = Decoder::default();
    for cut in 0..frame.len() {
        let need = match decoder.next(&mut frame[..cut].to_vec(), 1000, false).unwrap() {
            Front::Incomplete(need) => need,
            front => panic!("{front:?} of {cut} bytes"),
        };
        assert!(need > cut && need <= frame.len());
    }
}

#[test]
fn fragments_make_one_message_and_control_frames_may_come_between() {
    let mut decoder = Decoder::default();
    let euro = "€".as_bytes();
    assert_eq!(
        decoder.next(&mut client_frame(0x01, &euro[..1]), 9, false),
        Ok(Front::Event(Event::Fragment, 7))
    );
    assert_eq!(
        decoder.next(&mut client_frame(0x89, b"hi"), 9, false),
        Ok(Front::Event(Event::Ping(b"hi"), 8))
    );
    assert_eq!(
        decoder.next(&mut client_frame(0x00, &euro[1..2]), 9, false),
        Ok(Front::Event(Event::Fragment, 7))
    );
    assert_eq!(
        decoder.next(&mut client_frame(0x80, &euro[2..]), 9, false),
        Ok(Front::Event(Event::Text("€"), 7))
    );
    assert_eq!(
        decoder.next(&mut client_frame(0x80, b"x"), 9, false),
        Err(Violation::Protocol)
    );
    assert!(decoder.fragments.is_none());
}

#[test]
fn fragments_are_limited_together() {
    let mut decoder = Decoder::default();
    assert!(decoder.next(&mut client_frame(0x02, &[0; 6]), 10, false).is_ok());
    assert_eq!(
        decoder.next(&mut client_frame(0x80, &[0; 6]), 10, false),
        Err(Violation::TooLong)
    );
}

#[test]
fn broken_rules_are_named() {
    let violation = |mut frame: Vec<u8>| Decoder::default().next(&mut frame, 1000, false).unwrap_err();
    assert_eq!(violation(client_frame(0xc1, b"x")), Violation::Protocol, "reserved bit");
    assert_eq!(violation(vec![0x81, 1, b'x']), Violation::Protocol, "not masked");
    assert_eq!(
        violation(client_frame(0x83, b"x")),
        Violation::Protocol,
        "unknown opcode"
    );
    assert_eq!(
        violation(client_frame(0x09, b"x")),
        Violation::Protocol,
        "fragmented ping"
    );
    assert_eq!(
        violation(client_frame(0x89, &[0; 126])),
        Violation::Protocol,
        "long ping"
    );
    assert_eq!(
        violation(client_frame(0x80, b"x")),
        Violation::Protocol,
        "continues nothing"
    );
    assert_eq!(violation(client_frame(0x81, &[0xff])), Violation::NotUtf8);
    assert_eq!(violation(client_frame(0x82, &[0; 1001])), Violation::TooLong);
    assert_eq!(
        violation(vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
        Violation::Protocol,
        "long form"
    );
    assert_eq!(
        violation(vec![0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
        Violation::Protocol,
        "sign bit"
    );
}

#[test]
fn close_codes_are_checked() {
    let close = |payload: &[u8]| match Decoder::default().next(&mut client_frame(0x88, payload), 10, false) {
        Ok(Front::Event(Event::Close(code), _)) => Ok(code),
        Err(violation) => Err(violation),
        other => panic!("{other:?}"),
    };
    assert_eq!(close(&[]), Ok(None));
    assert_eq!(close(&[0x03, 0xe8]), Ok(Some(1000)));
    assert_eq!(close(&[0x03]), Err(Violation::Protocol));
    assert_eq!(close(&[0x03, 0xed]), Err(Violation::Protocol), "1005 is never sent");
    assert_eq!(close(&[0x03, 0xe8, 0xff]), Err(Violation::NotUtf8));
}
