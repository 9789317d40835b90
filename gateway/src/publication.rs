//! The event `publish` of a client: a room, an event, and the arguments of that event.

use manager_api::log::{Escaped, cut, quietly};
use manager_api::{EventName, Payload};
use socket_io::Socket;

/// Events that only the server emits: clients may rely on what they say.
const OWN_EVENTS: [&str; 2] = [crate::access::EXPIRED, Socket::AGE_EVENT];

/// What a client wants to emit.
pub(crate) struct Publication {
    room: String,
    event: EventName,
    payload: Payload,
}

impl Publication {
    /// Reads `(room, event, ...arguments)`.
    ///
    /// # Errors
    ///
    /// What was expected, for the client.
    pub(crate) fn parse(arguments: &Payload) -> Result<Self, String> {
        let malformed = "expected a room, an event, and its arguments";
        let (room, event): (String, String) = arguments.parse().map_err(|_| malformed)?;
        if OWN_EVENTS.contains(&event.as_str()) {
            return Err(format!("the event {event} is the server's own"));
        }
        let event = EventName::new(&event).map_err(|error| error.to_string())?;
        let values = arguments.arguments();
        let rest: Vec<&str> = values
            .get(2..)
            .ok_or(malformed)?
            .iter()
            .map(|value| value.get())
            .collect();
        let json = format!("[{}]", rest.join(","));
        // The first two are text, so that all placeholders are in the rest and keep the numbers of their attachments.
        let payload = Payload::from_trusted(json.into(), arguments.attachments().to_vec());
        Ok(Self { room, event, payload })
    }

    /// Returns the room, of which nothing is checked yet.
    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    /// Emits the event to the other clients in the room, on every server.
    ///
    /// # Errors
    ///
    /// That it failed, for the client; the reason is logged.
    pub(crate) async fn emit(self, socket: &Socket) -> Result<(), String> {
        let emitted = socket.to(self.room).emit_payload(self.event, self.payload).await;
        emitted.map_err(|error| {
            let namespace = cut(socket.namespace().as_str());
            quietly(
                || tracing::debug!(target: "gateway", sid = %socket.id(), namespace, error = ?Escaped(&error), "an event of a client was not published"),
            );
            "the event could not be published".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_can_say_what_only_the_server_says() {
        let parse = |event: &str| Publication::parse(&Payload::new(&("room", event, 1)).unwrap());
        assert_eq!(parse("news").unwrap().event.as_str(), "news");
        for event in OWN_EVENTS {
            assert!(parse(event).err().unwrap().contains("the server's own"), "{event}");
        }
    }
}
