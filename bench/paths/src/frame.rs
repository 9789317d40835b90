//! WebSocket framing for the client side (RFC 6455 §5): masked frames out, unmasked frames in.

use std::fmt;

/// The masking key of every frame sent. It is not zero, since servers may skip unmasking for a zero key.
const MASK: [u8; 4] = [0x35, 0xa1, 0x6e, 0xd8];

/// A text frame.
pub const TEXT: u8 = 0x1;
/// A binary frame.
pub const BINARY: u8 = 0x2;
/// A close frame.
pub const CLOSE: u8 = 0x8;
/// A ping of the WebSocket layer.
pub const PING: u8 = 0x9;
/// A pong of the WebSocket layer.
pub const PONG: u8 = 0xa;

/// One complete frame of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The opcode, one of the constants of this module.
    pub opcode: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// A frame that no server under test may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame is masked, compressed or a fragment: none of these was negotiated or is expected.
    Unexpected,
    /// A length does not fit into memory.
    TooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unexpected => "the server sent a masked, compressed or fragmented frame",
            Self::TooLong => "the server sent a frame that is too long",
        })
    }
}

impl std::error::Error for FrameError {}

/// Appends one masked frame to `output`.
pub fn push(output: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    output.push(0x80 | opcode);
    match payload.len() {
        len @ 0..=125 => output.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            output.push(0x80 | 126);
            output.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            output.push(0x80 | 127);
            output.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key);
    output.extend(masked);
}

/// Splits the first frame off `input` and returns it with its whole length; `None` while it is incomplete.
///
/// # Errors
///
/// If the frame is one that no server under test may send.
pub fn first(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let [head, len, rest @ ..] = input else {
        return Ok(None);
    };
    if head & 0xf0 != 0x80 || len & 0x80 != 0 {
        return Err(FrameError::Unexpected);
    }
    let (len, begins_at) = match len {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10),
            None => return Ok(None),
        },
        &len => (u64::from(len), 2),
    };
    let len = usize::try_from(len).ok().and_then(|len| len.checked_add(begins_at));
    let len = len.ok_or(FrameError::TooLong)?;
    Ok(input.get(begins_at..len).map(|payload| {
        let opcode = head & 0x0f;
        (Frame { opcode, payload }, len)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..=125 => frame.push(len as u8),
            len @ 126..=0xffff => {
                frame.push(126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_of_every_length_class_are_read_back_and_incomplete_ones_wait() {
        for len in [0, 1, 125, 126, 0xffff, 0x1_0000] {
            let payload = vec![b'x'; len];
            let bytes = server_frame(TEXT, &payload);
            for cut in [1, 2, 3, bytes.len() / 2, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(first(&bytes[..cut]), Ok(None), "{len} bytes cut at {cut}");
                }
            }
            let (frame, used) = first(&bytes).expect("a valid frame").expect("a whole frame");
            assert_eq!((frame.opcode, frame.payload, used), (TEXT, &payload[..], bytes.len()));
        }
    }

    #[test]
    fn a_frame_sent_is_masked_and_unmasks_to_its_payload() {
        for len in [0, 5, 200, 70_000] {
            let payload = vec![7; len];
            let mut bytes = Vec::new();
            push(&mut bytes, BINARY, &payload);
            assert_eq!(bytes[0], 0x82);
            assert_ne!(bytes[1] & 0x80, 0, "the mask bit");
            let body = bytes.len() - len;
            let key: [u8; 4] = bytes[body - 4..body].try_into().expect("a key");
            let unmasked: Vec<u8> = bytes[body..]
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key)
                .collect();
            assert_eq!(unmasked, payload);
        }
    }

    #[test]
    fn fragments_masked_and_endless_frames_of_a_server_are_errors() {
        assert_eq!(first(&[0x01, 0x00]), Err(FrameError::Unexpected));
        assert_eq!(first(&[0xc1, 0x00]), Err(FrameError::Unexpected));
        assert_eq!(first(&[0x81, 0x80]), Err(FrameError::Unexpected));
        assert_eq!(
            first(&[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(FrameError::TooLong)
        );
    }
}
