//! Packets of Socket.IO, protocol 5, as a client writes and reads them.

use manager_api::NamespaceName;

/// The attachments of one packet.
const MAX_ATTACHMENTS: usize = 1_024;

/// The kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    /// With a number of attachments.
    Event(usize),
    /// With a number of attachments.
    Ack(usize),
    ConnectError,
}

/// A packet, without its attachments.
#[derive(Debug, PartialEq)]
pub(super) struct Packet {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) id: Option<u64>,
    pub(super) json: String,
}

impl Kind {
    /// Returns the number of attachments that follow.
    pub(super) fn num_attachments(self) -> usize {
        match self {
            Self::Event(count) | Self::Ack(count) => count,
            _ => 0,
        }
    }
}

impl Packet {
    /// Reads `<type>[<attachments>-][<namespace>,][<id>][JSON]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut letters = text.chars();
        let digit = letters.next()?;
        let mut rest = letters.as_str();
        let mut num_attachments = 0;
        if matches!(digit, '5' | '6') {
            let (count, behind) = rest.split_once('-')?;
            num_attachments = count.parse().ok().filter(|count| *count <= MAX_ATTACHMENTS)?;
            rest = behind;
        }
        let kind = match digit {
            '0' => Kind::Connect,
            '1' => Kind::Disconnect,
            '2' | '5' => Kind::Event(num_attachments),
            '3' | '6' => Kind::Ack(num_attachments),
            '4' => Kind::ConnectError,
            _ => return None,
        };
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        let json = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let id = &rest[..rest.len() - json.len()];
        Some(Self {
            kind,
            // Some servers repeat the query of the namespace.
            namespace: namespace.split('?').next().unwrap_or_default().to_owned(),
            id: if id.is_empty() { None } else { Some(id.parse().ok()?) },
            json: json.to_owned(),
        })
    }
}

/// Writes a packet, and before it the digit of a message of Engine.IO.
pub(super) fn write(kind: Kind, namespace: &NamespaceName, id: Option<u64>, json: &str) -> String {
    let digits = match kind {
        Kind::Connect => "0".to_owned(),
        Kind::Disconnect => "1".to_owned(),
        Kind::Event(0) => "2".to_owned(),
        Kind::Event(count) => format!("5{count}-"),
        Kind::Ack(0) => "3".to_owned(),
        Kind::Ack(count) => format!("6{count}-"),
        Kind::ConnectError => "4".to_owned(),
    };
    let namespace = match namespace.is_root() {
        true => String::new(),
        false => format!("{},", namespace.as_str()),
    };
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    format!("4{digits}{namespace}{id}{json}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let (root, chat) = (NamespaceName::default(), NamespaceName::new("/chat").unwrap());
        for (kind, namespace, id, json, text) in [
            (Kind::Connect, &root, None, "", "40"),
            (Kind::Connect, &chat, None, "{\"a\":1}", "40/chat,{\"a\":1}"),
            (Kind::Event(0), &root, Some(7), "[\"e\"]", "427[\"e\"]"),
            (Kind::Event(2), &chat, None, "[\"e\"]", "452-/chat,[\"e\"]"),
            (Kind::Ack(0), &chat, Some(3), "[]", "43/chat,3[]"),
            (Kind::Ack(1), &root, Some(3), "[1]", "461-3[1]"),
            (Kind::ConnectError, &chat, None, "{}", "44/chat,{}"),
            (Kind::Disconnect, &chat, None, "", "41/chat,"),
        ] {
            assert_eq!(write(kind, namespace, id, json), text);
            let expected = Packet {
                kind,
                namespace: namespace.as_str().to_owned(),
                id,
                json: json.to_owned(),
            };
            assert_eq!(Packet::parse(&text[1..]), Some(expected), "{text}");
        }
        assert_eq!(Packet::parse("1/chat").unwrap().namespace, "/chat");
    }

    #[test]
    fn what_is_no_packet_is_not_read() {
        for text in ["", "9[]", "5[]", "5x-[]", "59999-[]", "299999999999999999999999[]", "ü"] {
            assert_eq!(Packet::parse(text), None, "{text}");
        }
    }
}
