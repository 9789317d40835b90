//! What of the channel is to be shown, and until when.

use std::num::NonZeroU64;
use std::time::Duration;

use manager_api::message::{Envelope, Message, Target};
use manager_api::{NamespaceName, Room};

use super::{BrokerPlan, broker_plan, namespace};
use crate::args::{BrokerArgs, ListenArgs};
use crate::failure::Failure;

/// How long the broker may take to accept the subscription, without `--timeout`.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What of the channel is to be shown.
#[derive(Debug)]
pub(crate) struct ListenPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) json: bool,
    pub(crate) filter: Filter,
    /// How far in the past it begins; at the next message if there is none.
    pub(crate) since: Option<Duration>,
    /// It ends after so many messages.
    pub(crate) count: Option<NonZeroU64>,
    /// It ends after this time.
    pub(crate) limit: Option<Duration>,
}

/// The messages that are shown.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Those of any, if there is none.
    pub(crate) namespace: Option<NamespaceName>,
    /// Those for any, and for all clients, if there is none.
    pub(crate) rooms: Vec<String>,
    /// Any message, if there is none.
    pub(crate) events: Vec<String>,
}

impl ListenPlan {
    /// Checks what the user typed.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(args: ListenArgs, quiet: bool) -> Result<Self, Failure> {
        #[cfg(feature = "redis")]
        super::wire::refuse("listen")?;
        let filter = Filter {
            namespace: args.namespace.as_deref().map(namespace).transpose()?,
            rooms: args.room,
            events: args.event,
        };
        let broker = BrokerArgs {
            url: args.url,
            channel: args.channel,
            timeout: args.timeout.unwrap_or(SUBSCRIBE_TIMEOUT),
        };
        Ok(Self {
            broker: broker_plan(broker, quiet)?,
            json: args.json,
            filter,
            since: args.since,
            count: args.count,
            limit: args.timeout,
        })
    }
}

impl Filter {
    /// Tells whether every message is shown, those that cannot be decoded included.
    pub(crate) fn is_open(&self) -> bool {
        self.namespace.is_none() && self.rooms.is_empty() && self.events.is_empty()
    }

    /// Tells whether a message is shown.
    pub(crate) fn passes(&self, envelope: &Envelope) -> bool {
        let (namespace, rooms, event) = match &envelope.message {
            Message::Emit(emit) => {
                let rooms = match &emit.target {
                    Target::Everyone => &[][..],
                    Target::Rooms(rooms) => rooms,
                };
                (&emit.namespace, rooms, Some(emit.event.as_str()))
            }
            Message::Callback(callback) => {
                let room = callback.address.room.as_ref();
                (
                    &callback.address.namespace,
                    room.map_or(&[][..], std::slice::from_ref),
                    None,
                )
            }
            Message::Disconnect { sid, namespace } => return self.is_about(namespace, &[], Some(sid.as_str())),
            Message::EnterRoom { sid, room, namespace } | Message::LeaveRoom { sid, room, namespace } => {
                return self.is_about(namespace, std::slice::from_ref(room), Some(sid.as_str()));
            }
            Message::CloseRoom { room, namespace } => (namespace, std::slice::from_ref(room), None),
            // Of servers, for each other.
            _ => return self.is_open(),
        };
        let is_event =
            self.events.is_empty() || event.is_some_and(|event| self.events.iter().any(|name| name == event));
        is_event && self.concerns(namespace, rooms, None)
    }

    /// As [`concerns`](Self::concerns), for what is not an event.
    fn is_about(&self, namespace: &NamespaceName, rooms: &[Room], client: Option<&str>) -> bool {
        self.events.is_empty() && self.concerns(namespace, rooms, client)
    }

    /// Tells whether the namespace, and one of the rooms or the client, are among those that are shown.
    fn concerns(&self, namespace: &NamespaceName, rooms: &[Room], client: Option<&str>) -> bool {
        let names = || rooms.iter().map(Room::as_str).chain(client);
        self.namespace.as_ref().is_none_or(|shown| shown == namespace)
            && (self.rooms.is_empty() || names().any(|name| self.rooms.iter().any(|shown| shown == name)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use manager_api::wire;

    use super::*;

    const EMIT: &str = r#"{"method":"emit","event":"news","data":[1],"namespace":"/c","room":["a",7]}"#;
    const TO_ALL: &str = r#"{"method":"emit","event":"news","data":[1],"namespace":"/c"}"#;
    const LEAVES: &str = r#"{"method":"leave_room","sid":"x","room":"a","namespace":"/c"}"#;
    const CLOSES: &str = r#"{"method":"close_room","room":"a","namespace":"/"}"#;
    const HELLO: &str = r#"{"method":"sio_seek","host_id":"h","sio":{"v":1}}"#;

    fn filter(namespace: &str, rooms: &[&str], events: &[&str]) -> Filter {
        Filter {
            namespace: NamespaceName::new(namespace).ok().filter(|_| !namespace.is_empty()),
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
        }
    }

    #[test]
    fn each_filter_leaves_out_what_does_not_concern_it() {
        let all = [EMIT, TO_ALL, LEAVES, CLOSES, HELLO];
        for (filter, shown) in [
            (filter("", &[], &[]), &all[..]),
            (filter("/c", &[], &[]), &[EMIT, TO_ALL, LEAVES]),
            (filter("", &["a"], &[]), &[EMIT, LEAVES, CLOSES]),
            (filter("", &["7"], &[]), &[EMIT]),
            (filter("", &["x"], &[]), &[LEAVES]),
            (filter("", &[], &["other", "news"]), &[EMIT, TO_ALL]),
            (filter("/c", &["a"], &["news"]), &[EMIT]),
            (filter("/", &["a"], &["news"]), &[]),
        ] {
            let passes =
                |text: &&&str| filter.passes(&wire::python::decode(&Bytes::copy_from_slice(text.as_bytes())).unwrap());
            let passed: Vec<_> = all.iter().filter(|text| passes(text)).copied().collect();
            assert_eq!(passed, shown, "{filter:?}");
        }
    }
}
