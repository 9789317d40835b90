//! Frames of RFC 6455, read and written as by a server; no I/O.

use crate::websocket::deflate::decompress;
use crate::websocket::violation::Violation;

/// The longest header of a frame that a server writes.
pub(crate) const HEAD_ROOM: usize = 10;

/// The longest header of a frame that a client writes.
pub(crate) const MAX_CLIENT_HEAD: usize = 14;

/// Set in the first byte of a frame that begins a compressed message.
pub(crate) const COMPRESSED: u8 = 0x40;

/// Set in the first byte of the last frame of a message.
const FIN: u8 = 0x80;
/// The bits that extensions may use.
const RESERVED: u8 = 0x70;
/// Set in the second byte of each frame of a client.
const MASKED: u8 = 0x80;
/// The longest payload of a control frame.
const MAX_CONTROL: usize = 125;

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpCode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl OpCode {
    /// Reads a number that the protocol defines.
    fn parse(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }
}

/// A frame or message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A message of text.
    Text(&'a str),
    /// A message of bytes.
    Binary(&'a [u8]),
    /// A ping, whose payload belongs into the pong.
    Ping(&'a [u8]),
    /// A pong, of which nothing depends.
    Pong,
    /// The code of a close frame, if it had one.
    Close(Option<u16>),
    /// A fragment was kept; its message is not complete.
    Fragment,
}

/// The front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front<'a> {
    /// A frame, of this many bytes.
    Event(Event<'a>, usize),
    /// The buffer must hold so many bytes before it is read again.
    Incomplete(usize),
}

/// Reads frames; holds memory only within a fragmented message, and while a compressed one is
/// handed out.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The message that is being put together, or that is handed out.
    fragments: Option<Box<Fragments>>,
}

/// A message of several frames, or a compressed one.
#[derive(Debug)]
struct Fragments {
    /// It is text.
    text: bool,
    /// It is compressed.
    compressed: bool,
    /// Its last frame was read.
    complete: bool,
    /// Its payload so far; unpacked once it is complete.
    data: Vec<u8>,
}

/// The header of a frame.
struct Head {
    /// It is the last frame of its message.
    fin: bool,
    /// It begins a compressed message.
    compressed: bool,
    /// Its kind.
    opcode: OpCode,
    mask: [u8; 4],
    /// The length of the header.
    start: usize,
    /// The length of the payload.
    length: usize,
}

/// The header at the front of a buffer.
enum ParsedHead {
    /// All of it.
    Complete(Head),
    /// The buffer must hold so many bytes before the header can be read.
    Incomplete { needed: usize },
}

impl Decoder {
    /// Reads the frame at the front of `buffer`, unmasking it in place.
    ///
    /// `max` bounds the length of a message, fragmented or not, compressed or not; `deflate` tells
    /// whether clients may compress.
    pub(crate) fn next<'a>(
        &'a mut self,
        buffer: &'a mut [u8],
        max: usize,
        deflate: bool,
    ) -> Result<Front<'a>, Violation> {
        self.settle();
        let head = match parse_head(buffer, max, deflate)? {
            ParsedHead::Complete(head) => head,
            ParsedHead::Incomplete { needed } => return Ok(Front::Incomplete(needed)),
        };
        self.check_order(&head)?;
        let end = head.start + head.length;
        if buffer.len() < end {
            return Ok(Front::Incomplete(end));
        }
        let payload = &mut buffer[head.start..end];
        unmask(payload, head.mask);
        let event = match head.opcode {
            OpCode::Ping => Event::Ping(payload),
            OpCode::Pong => Event::Pong,
            OpCode::Close => Event::Close(close_code(payload)?),
            OpCode::Text if head.fin && !head.compressed => Event::Text(utf8(payload)?),
            OpCode::Binary if head.fin && !head.compressed => Event::Binary(payload),
            _ => self.collect(&head, payload, max)?,
        };
        Ok(Front::Event(event, end))
    }

    /// Releases the memory of a fragmented message that was handed out.
    pub(crate) fn settle(&mut self) {
        if self.fragments.as_ref().is_some_and(|fragments| fragments.complete) {
            self.fragments = None;
        }
    }

    /// Returns how many bytes of a fragmented message are held in memory.
    pub(crate) fn held(&self) -> usize {
        self.fragments.as_ref().map_or(0, |fragments| fragments.data.capacity())
    }

    /// Returns how much was unpacked for the message that is handed out.
    pub(crate) fn unpacked(&self) -> usize {
        self.fragments
            .as_ref()
            .filter(|fragments| fragments.compressed && fragments.complete)
            .map_or(0, |fragments| fragments.data.len())
    }

    /// Checks that a frame may follow those before it.
    fn check_order(&self, head: &Head) -> Result<(), Violation> {
        let in_order = match head.opcode {
            OpCode::Continuation => self.fragments.is_some(),
            OpCode::Text | OpCode::Binary => self.fragments.is_none(),
            OpCode::Close | OpCode::Ping | OpCode::Pong => true,
        };
        if in_order { Ok(()) } else { Err(Violation::Protocol) }
    }

    /// Adds a frame to the message that is being put together; hands the message out with its last
    /// frame.
    fn collect(&mut self, head: &Head, payload: &[u8], max: usize) -> Result<Event<'_>, Violation> {
        let fragments = self.fragments.get_or_insert_with(|| {
            Box::new(Fragments {
                text: head.opcode == OpCode::Text,
                compressed: head.compressed,
                complete: false,
                data: Vec::new(),
            })
        });
        if fragments.data.len() + payload.len() > max {
            return Err(Violation::TooLong);
        }
        fragments.data.extend_from_slice(payload);
        if !head.fin {
            return Ok(Event::Fragment);
        }
        fragments.complete = true;
        if fragments.compressed {
            fragments.data = decompress(&fragments.data, max)?;
        }
        if fragments.text {
            return Ok(Event::Text(utf8(&fragments.data)?));
        }
        Ok(Event::Binary(&fragments.data))
    }
}

/// Reads the header at the front of a buffer.
fn parse_head(buffer: &[u8], max: usize, deflate: bool) -> Result<ParsedHead, Violation> {
    let &[first, second, ..] = buffer else {
        return Ok(ParsedHead::Incomplete { needed: 2 });
    };
    let opcode = OpCode::parse(first & 0x0f).ok_or(Violation::Protocol)?;
    let compressed = deflate && first & COMPRESSED != 0 && matches!(opcode, OpCode::Text | OpCode::Binary);
    let allowed = if compressed { COMPRESSED } else { 0 };
    if first & RESERVED != allowed || second & MASKED == 0 {
        return Err(Violation::Protocol);
    }
    let fin = first & FIN != 0;
    let short = usize::from(second & 0x7f);
    if opcode as u8 >= OpCode::Close as u8 && (!fin || short > MAX_CONTROL) {
        return Err(Violation::Protocol);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let start = 2 + extended + 4;
    if buffer.len() < start {
        return Ok(ParsedHead::Incomplete { needed: start });
    }
    let length = payload_length(short, &buffer[2..2 + extended])?;
    if length > max as u64 {
        return Err(Violation::TooLong);
    }
    let mask = buffer[start - 4..start].try_into().expect("four bytes");
    Ok(ParsedHead::Complete(Head {
        fin,
        compressed,
        opcode,
        mask,
        start,
        length: length as usize,
    }))
}

/// Reads the length of a payload, which must have its shortest form.
fn payload_length(short: usize, extended: &[u8]) -> Result<u64, Violation> {
    if extended.is_empty() {
        return Ok(short as u64);
    }
    let length = extended.iter().fold(0, |length, &byte| (length << 8) | u64::from(byte));
    let least = if extended.len() == 2 { 126 } else { 65_536 };
    if length < least || length > u64::MAX >> 1 {
        return Err(Violation::Protocol);
    }
    Ok(length)
}

/// Removes the mask of a client's frame, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u32::from_ne_bytes(mask);
    let wide = u64::from(word) << 32 | u64::from(word);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Checks that a payload is text.
fn utf8(payload: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(payload).map_err(|_| Violation::NotUtf8)
}

/// Reads the payload of a close frame.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Violation::Protocol)
        };
    };
    let code = u16::from_be_bytes([*high, *low]);
    let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !valid {
        return Err(Violation::Protocol);
    }
    utf8(reason)?;
    Ok(Some(code))
}

/// Writes the header of an unmasked, final frame, right-aligned; returns it and where it begins.
pub(crate) fn head(opcode: OpCode, length: usize) -> ([u8; HEAD_ROOM], u8) {
    let mut head = [0; HEAD_ROOM];
    let start = match length {
        0..=125 => {
            head[9] = length as u8;
            8
        }
        126..=65_535 => {
            head[7] = 126;
            head[8..].copy_from_slice(&(length as u16).to_be_bytes());
            6
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    };
    head[start] = FIN | opcode as u8;
    (head, start as u8)
}

/// Writes the header of the frame whose payload is `buffer[payload..]` right before it; returns
/// where it begins.
pub(crate) fn write_head_before(buffer: &mut [u8], payload: usize, opcode: OpCode) -> usize {
    let (head, start) = head(opcode, buffer.len() - payload);
    let head = &head[usize::from(start)..];
    let begin = payload - head.len();
    buffer[begin..payload].copy_from_slice(head);
    begin
}

#[cfg(test)]
mod tests;
