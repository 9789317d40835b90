//! Packets of a client that speaks MessagePack: a map `{type, nsp, data?, id?}` in one binary message.

/// A map of `num_keys` keys: type and namespace, and the rest as it is given.
pub(crate) fn packet(num_keys: u8, kind: u8, namespace: &str, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80 | num_keys];
    packet.extend_from_slice(b"\xa4type");
    packet.push(kind);
    packet.extend_from_slice(b"\xa3nsp");
    packet.push(0xa0 | u8::try_from(namespace.len()).unwrap());
    packet.extend_from_slice(namespace.as_bytes());
    packet.extend_from_slice(rest);
    packet
}

pub(crate) fn event(data: &[u8]) -> Vec<u8> {
    packet(3, 2, "/", &[b"\xa4data", data].concat())
}

/// An event whose acknowledgement has the number 7.
pub(crate) fn asking(data: &[u8]) -> Vec<u8> {
    packet(4, 2, "/", &[b"\xa2id\x07\xa4data", data].concat())
}
