//! The epoch of a stream: a key beside it, which vanishes with it when the database is emptied.

use manager_api::replay::Epoch;
use redis::{Cmd, FromRedisValue, Value, cmd};

use crate::connection::Connection;
use crate::error::Failure;
use crate::refusal::Asked;

/// Returns the epoch of a stream. The first reader chooses it.
pub(super) async fn epoch_of(connection: &mut Connection, stream: &str) -> Result<Epoch, Failure> {
    // A server that takes no writes can be read all the same.
    if let Some(epoch) = known_epoch(connection, stream).await? {
        return Ok(epoch);
    }
    let key = key_of(stream);
    let chosen = Epoch::random().to_string();
    ask(connection, "SET", &key, cmd("SET").arg(&key).arg(chosen).arg("NX")).await?;
    let known = known_epoch(connection, stream).await?;
    known.ok_or_else(|| Failure::other(&connection.address, format!("the key {key:?} was deleted just now")))
}

/// Returns the epoch of a stream; `None` if there is none, or none any more.
pub(super) async fn known_epoch(connection: &mut Connection, stream: &str) -> Result<Option<Epoch>, Failure> {
    let key = key_of(stream);
    let text = ask(connection, "GET", &key, cmd("GET").arg(&key)).await?;
    let text = Option::<String>::from_redis_value(text).ok().flatten();
    let epoch = text.map(|text| text.parse()).transpose();
    epoch.map_err(|_| {
        let text = format!("the key {key:?} is not the epoch of a stream: another program uses the name");
        Failure::other(&connection.address, text)
    })
}

/// Sends a command about the key, and returns the reply.
async fn ask(connection: &mut Connection, command: &str, key: &str, words: &Cmd) -> Result<Value, Failure> {
    let reply = connection.request(words).await?;
    let asked = Asked::Topic { command, name: key };
    reply.map_err(|error| Failure::server(&connection.address, asked, error))
}

/// Returns the name of the key, which belongs to the slot of the stream in a cluster.
fn key_of(stream: &str) -> String {
    let has_tag = stream.find('{').is_some_and(|open| {
        let tagged = &stream[open + 1..];
        tagged.find('}').is_some_and(|len| len > 0)
    });
    match has_tag || stream.is_empty() || stream.contains('}') {
        true => format!("{stream}.epoch"),
        false => format!("{{{stream}}}.epoch"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::head::slot_of_name;

    #[test]
    fn the_key_is_in_the_slot_of_its_stream() {
        for stream in ["socketio", "a{b}c", "{b}", "a{}b", "a{b", "", "{", "a b"] {
            let key = key_of(stream);
            let (of_key, of_stream) = (slot_of_name(key.as_bytes()), slot_of_name(stream.as_bytes()));
            // One that is empty or has odd braces is not for a cluster.
            let may_differ = ["", "a{}b"].contains(&stream);
            assert!(of_key == of_stream || may_differ, "{stream:?}: {key:?}");
        }
    }
}
