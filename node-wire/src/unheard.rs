//! What other servers send where this process does not listen: with the sharded adapter, to the channels of rooms.
//!
//! In every `subscriptionMode` but `static`, a server publishes an event for one room on a channel of that room, to which
//! servers with members of the room subscribe. A process without members cannot know these rooms, and sharded
//! publish/subscribe has no patterns; but it sees that there are such channels.

use manager_api::topics::Topics;
use manager_api::{Error, NamespaceName};

use crate::plan::{Adapter, Plan, escaped};

/// Channels of a namespace that are looked at; each server has one for its responses.
const MAX_CHANNELS: usize = 4_096;
/// The length of a server's id, in hexadecimal digits.
const UID_LEN: usize = 16;

/// Looks for such channels of some namespaces. Returns what is wrong, and how to mend it.
pub(crate) async fn find(
    topics: &dyn Topics,
    plan: &Plan,
    namespaces: Vec<NamespaceName>,
) -> Result<Option<String>, Error> {
    if plan.adapter != Adapter::Sharded {
        return Ok(None);
    }
    for namespace in namespaces {
        let start = plan.servers(&namespace).name;
        let pattern = format!("{}?*", escaped(&start));
        let names = topics.find_sharded(&pattern, MAX_CHANNELS).await?;
        let num_rooms = names.iter().filter(|name| is_of_room(name, &start)).count();
        if num_rooms > 0 {
            return Ok(Some(told(&namespace, num_rooms)));
        }
    }
    Ok(None)
}

fn told(namespace: &NamespaceName, num_rooms: usize) -> String {
    format!(
        "its servers publish events for one room on a channel of that room, of which {num_rooms} were seen in {namespace}, \
         and which only servers with members of the room receive: give all servers of this fleet subscriptionMode \"static\""
    )
}

/// Returns whether a channel is of a room. Those of servers for responses look as that of a room which is named by 16
/// hexadecimal digits.
fn is_of_room(channel: &str, start: &str) -> bool {
    let name = channel.strip_prefix(start).and_then(|rest| rest.strip_suffix('#'));
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.is_some_and(|name| name.len() != UID_LEN || !name.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_rooms_are_told_from_those_of_servers() {
        for (channel, expected) in [
            ("p#/#lobby#", true),
            ("p#/#a#b#", true),
            ("p#/#0123456789abcdef#", false),
            ("p#/#0123456789ABCDEF#", true),
            ("p#/#0123456789abcde#", true),
            ("p#/#", false),
            ("p#/chat#lobby#", false),
        ] {
            assert_eq!(is_of_room(channel, "p#/#"), expected, "{channel}");
        }
    }
}
