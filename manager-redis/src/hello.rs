//! The role of a server, which decides whether a message published on it reaches every subscriber.

use redis::{RedisError, Value};

/// Requests the role, in either protocol; every user is permitted to.
pub(crate) const HELLO_2: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n";
pub(crate) const HELLO_3: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n";
/// The keep-alive for a server without HELLO.
pub(crate) const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Why a server is unsuitable although it responds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unsuited {
    /// Messages published on it reach only its own subscribers.
    Replica,
    /// Its channels are its own.
    Sentinel,
}

/// Reads the reply to HELLO.
pub(crate) fn judged(hello: &Value) -> Result<(), Unsuited> {
    match (field(hello, b"mode"), field(hello, b"role")) {
        // The nodes of a cluster forward messages, replicas as well.
        (Some(b"cluster"), _) => Ok(()),
        (Some(b"sentinel"), _) => Err(Unsuited::Sentinel),
        (_, Some(b"replica" | b"slave")) => Err(Unsuited::Replica),
        _ => Ok(()),
    }
}

/// Returns whether the reply to HELLO is that of a node of a cluster.
pub(crate) fn is_of_cluster(hello: &Value) -> bool {
    field(hello, b"mode") == Some(b"cluster")
}

/// Reads the reply to ROLE.
pub(crate) fn judged_by_role(role: &Value) -> Result<(), Unsuited> {
    match elements(role).first().and_then(text) {
        Some(b"slave" | b"replica") => Err(Unsuited::Replica),
        Some(b"sentinel") => Err(Unsuited::Sentinel),
        _ => Ok(()),
    }
}

/// Returns the master that a replica names in its reply to ROLE.
pub(crate) fn master_of(role: &Value) -> Option<(String, u16)> {
    match elements(role) {
        [_, Value::BulkString(host), Value::Int(port), ..] => {
            Some((String::from_utf8(host.clone()).ok()?, u16::try_from(*port).ok()?))
        }
        _ => None,
    }
}

/// Returns whether the server lacks this command, or this version of the protocol.
pub(crate) fn is_unknown(error: &RedisError) -> bool {
    let is_unknown = error.detail().is_some_and(|detail| detail.contains("unknown command"));
    is_unknown || error.code() == Some("NOPROTO")
}

/// Returns the elements of a list; none of any other value.
pub(crate) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        _ => &[],
    }
}

/// Returns a field of a map, which is a flat list in the older protocol.
fn field<'a>(hello: &'a Value, name: &[u8]) -> Option<&'a [u8]> {
    if let Value::Map(fields) = hello {
        let found = fields.iter().find(|(key, _)| text(key) == Some(name));
        return found.and_then(|(_, value)| text(value));
    }
    let mut pairs = elements(hello).chunks_exact(2);
    pairs
        .find(|pair| text(&pair[0]) == Some(name))
        .and_then(|pair| text(&pair[1]))
}

/// Returns the text of a string; none of any other value.
pub(crate) fn text(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(text) => Some(text),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn hello(mode: &str, role: &str) -> [Value; 2] {
        let fields = [("server", "redis"), ("mode", mode), ("role", role)].map(|(key, value)| (bulk(key), bulk(value)));
        let flat = fields
            .iter()
            .flat_map(|(key, value)| [key.clone(), value.clone()])
            .collect();
        [Value::Array(flat), Value::Map(fields.to_vec())]
    }

    #[test]
    fn a_replica_is_known_by_what_it_says_of_itself() {
        for (mode, role, expected) in [
            ("standalone", "master", Ok(())),
            ("standalone", "replica", Err(Unsuited::Replica)),
            ("standalone", "slave", Err(Unsuited::Replica)),
            ("cluster", "replica", Ok(())),
            ("sentinel", "master", Err(Unsuited::Sentinel)),
        ] {
            for hello in hello(mode, role) {
                assert_eq!(judged(&hello), expected, "{mode} {role}");
            }
        }
        let role = Value::Array(vec![
            bulk("slave"),
            bulk("10.0.0.1"),
            Value::Int(6379),
            bulk("connected"),
        ]);
        assert_eq!(judged_by_role(&role), Err(Unsuited::Replica));
        assert_eq!(master_of(&role), Some(("10.0.0.1".to_owned(), 6379)));
    }

    #[test]
    fn what_cannot_be_read_is_held_against_no_server() {
        for value in [
            Value::Nil,
            Value::Okay,
            Value::Array(vec![Value::Nil]),
            Value::Map(vec![]),
        ] {
            assert_eq!((judged(&value), judged_by_role(&value)), (Ok(()), Ok(())));
            assert_eq!(master_of(&value), None);
        }
    }
}
