//! The commands that publish to topics: their words before the message, and the slot that they belong to.

use bytes::{BufMut, Bytes, BytesMut};
use manager_api::topics::{Entry, Stream, Topic};

/// The number of slots of a cluster.
const NUM_SLOTS: u16 = 16_384;

/// Returns the words of the command that publishes to a topic, up to the length of the message.
pub(crate) fn of_publish(topic: &Topic) -> Bytes {
    let command = if topic.is_sharded { "SPUBLISH" } else { "PUBLISH" };
    let mut head = BytesMut::new();
    put_count(&mut head, 3);
    put_word(&mut head, command.as_bytes());
    put_word(&mut head, topic.name.as_bytes());
    head.put_u8(b'$');
    head.freeze()
}

/// Returns the words of the command that appends an entry, and its last value as the message.
pub(crate) fn of_append(stream: &Stream, mut entry: Entry) -> (Bytes, Bytes) {
    let (field, message) = entry.fields.pop().unwrap_or_default();
    let mut head = BytesMut::new();
    put_count(&mut head, 8 + 2 * entry.fields.len());
    for word in ["XADD", &stream.name, "MAXLEN", "~", &stream.max_len.to_string(), "*"] {
        put_word(&mut head, word.as_bytes());
    }
    for (field, value) in entry.fields {
        put_word(&mut head, &field);
        put_word(&mut head, &value);
    }
    put_word(&mut head, &field);
    head.put_u8(b'$');
    (head.freeze(), message)
}

/// Returns the command of a head and the name of its topic or stream, for errors.
pub(crate) fn command_and_name(head: &[u8]) -> Option<(&str, &str)> {
    let (command, rest) = word(line(head)?.1)?;
    let (name, _) = word(rest)?;
    Some((std::str::from_utf8(command).ok()?, std::str::from_utf8(name).ok()?))
}

/// Returns the slot of the node that executes the command; `None` if any node does.
pub(crate) fn slot_of(head: &[u8]) -> Option<u16> {
    let (command, name) = command_and_name(head)?;
    (command != "PUBLISH").then(|| slot_of_name(name.as_bytes()))
}

/// Returns the slot of a name: that of the part in the first braces if there is one.
pub(crate) fn slot_of_name(name: &[u8]) -> u16 {
    let tag = name.iter().position(|&byte| byte == b'{').and_then(|open| {
        let tagged = &name[open + 1..];
        let len = tagged.iter().position(|&byte| byte == b'}')?;
        Some(&tagged[..len]).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(name)) % NUM_SLOTS
}

/// The checksum CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    let bit = |sum: u16, _| match sum & 0x8000 {
        0 => sum << 1,
        _ => (sum << 1) ^ 0x1021,
    };
    bytes
        .iter()
        .fold(0, |sum, &byte| (0..8).fold(sum ^ (u16::from(byte) << 8), bit))
}

/// Appends the number of words of a command.
fn put_count(output: &mut BytesMut, count: usize) {
    output.put_slice(format!("*{count}\r\n").as_bytes());
}

/// Appends one word of a command.
pub(super) fn put_word(output: &mut BytesMut, word: &[u8]) {
    output.put_slice(format!("${}\r\n", word.len()).as_bytes());
    output.put_slice(word);
    output.put_slice(b"\r\n");
}

/// Returns the first word and what follows it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = line(bytes)?;
    let len: usize = std::str::from_utf8(line.strip_prefix(b"$")?).ok()?.parse().ok()?;
    let (word, rest) = rest.split_at_checked(len)?;
    Some((word, rest.strip_prefix(b"\r\n")?))
}

/// Returns the first line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((bytes[..end].strip_suffix(b"\r")?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_redis() {
        let head = of_publish(&Topic::sharded("a\r\nb"));
        assert_eq!(head, "*3\r\n$8\r\nSPUBLISH\r\n$4\r\na\r\nb\r\n$");
        assert_eq!(command_and_name(&head), Some(("SPUBLISH", "a\r\nb")));
        let stream = Stream {
            name: "s".into(),
            max_len: 10,
        };
        let (head, message) = of_append(&stream, Entry::from_iter([("f", "v"), ("g", "")]));
        assert_eq!(
            (head.as_ref(), message.as_ref()),
            (
                &b"*10\r\n$4\r\nXADD\r\n$1\r\ns\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$2\r\n10\r\n$1\r\n*\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n$"[..],
                &b""[..]
            )
        );
    }

    #[test]
    fn slots_are_those_of_redis_cluster() {
        for (name, slot) in [("foo", 12_182), ("{foo}bar", 12_182), ("foo{}{bar}", 8_363), ("", 0)] {
            assert_eq!(slot_of_name(name.as_bytes()), slot, "{name}");
        }
        assert_eq!(slot_of(&of_publish(&Topic::new("foo"))), None);
        assert_eq!(slot_of(&of_publish(&Topic::sharded("foo"))), Some(12_182));
        assert_eq!(slot_of(b""), None);
    }
}
