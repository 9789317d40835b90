//! The encoding of packets for clients, by the configured parser.

use engine_io::Outgoing;
use manager_api::{Error, NamespaceName, Payload, Sid};

use super::msgpack;
use crate::config::Parser;
use crate::log;

/// The attachments of one packet that JavaScript's clients accept (`socket.io-parser` since 4.2.6); they close the connection for more.
const MAX_ATTACHMENTS_OF_CLIENTS: usize = 10;

fn warn_of_attachments(namespace: &NamespaceName, event: &str, payload: &Payload) {
    if payload.attachments().len() > MAX_ATTACHMENTS_OF_CLIENTS {
        log::many_attachments(
            namespace,
            event,
            payload.attachments().len(),
            MAX_ATTACHMENTS_OF_CLIENTS,
        );
    }
}

impl Parser {
    /// Tells why arguments must not go to clients.
    pub(crate) fn check(self, payload: &Payload) -> Result<(), Error> {
        match self {
            Self::Json => payload.check_for_json(),
            Self::MsgPack => Ok(()),
        }
    }

    /// Encodes an event; with an id if it is to be acknowledged.
    pub(crate) fn event(self, namespace: &NamespaceName, event: &str, payload: &Payload, id: Option<u64>) -> Outgoing {
        match self {
            Self::Json => {
                warn_of_attachments(namespace, event, payload);
                super::encode_event(namespace, event, payload, id)
            }
            Self::MsgPack => Outgoing::binary(msgpack::encode_event(namespace, event, payload, id)),
        }
    }

    /// Encodes the acknowledgement of event `id`.
    pub(crate) fn ack(self, namespace: &NamespaceName, payload: &Payload, id: u64) -> Outgoing {
        match self {
            Self::Json => {
                warn_of_attachments(namespace, "acknowledgement", payload);
                super::encode_ack(namespace, payload, id)
            }
            Self::MsgPack => Outgoing::binary(msgpack::encode_ack(namespace, payload, id)),
        }
    }

    /// Encodes the acceptance of a client.
    pub(crate) fn connect(self, namespace: &NamespaceName, sid: &Sid) -> Outgoing {
        match self {
            Self::Json => super::encode_connect(namespace, sid),
            Self::MsgPack => Outgoing::binary(msgpack::encode_connect(namespace, sid)),
        }
    }

    /// Encodes a refusal; `json` is the object that says why.
    ///
    /// The namespace is the client's own text, because it need not exist.
    pub(crate) fn connect_error(self, namespace: &str, json: &[u8]) -> Outgoing {
        match self {
            Self::Json => super::encode_connect_error(namespace, json),
            Self::MsgPack => Outgoing::binary(msgpack::encode_connect_error(namespace, json)),
        }
    }

    /// Encodes the end of a client's membership in a namespace.
    pub(crate) fn disconnect(self, namespace: &NamespaceName) -> Outgoing {
        match self {
            Self::Json => super::encode_disconnect(namespace),
            Self::MsgPack => Outgoing::binary(msgpack::encode_disconnect(namespace)),
        }
    }
}
