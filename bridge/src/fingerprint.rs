//! The fingerprint of a message: the same in every bridge that receives it.

use manager_api::message::{Envelope, Mark, Message};
use manager_api::wire::python;
use sha2::{Digest, Sha256};

/// Returns the mark of a message, and its approximate size in bytes.
///
/// It is a hash of the names of the bridge and of the side, of the sender, and of the message without the ids of
/// callbacks and requests, which each bridge may give its own. The rest of a message is read alike by all bridges.
pub(crate) fn of(bridge: &str, side: &str, envelope: &mut Envelope) -> (Mark, usize) {
    let bytes = without_ids(envelope);
    let mut hash = Sha256::new();
    for name in [bridge, side] {
        // With its length, so that no two pairs of names are the same text.
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
    }
    hash.update(&bytes);
    (mark_of(hash), bytes.len())
}

/// Encodes a message as if nothing was expected in return. The encoding holds every other field.
fn without_ids(envelope: &mut Envelope) -> bytes::Bytes {
    match &mut envelope.message {
        Message::Emit(emit) => {
            let ids = (emit.callback.take(), emit.report.take(), emit.receipt.take());
            let timeout = emit.ack_timeout.take();
            let bytes = python::encode(envelope);
            if let Message::Emit(emit) = &mut envelope.message {
                (emit.callback, emit.report, emit.receipt) = ids;
                emit.ack_timeout = timeout;
            }
            bytes
        }
        Message::Request(request) => {
            let id = request.id.take();
            let bytes = python::encode(envelope);
            if let Message::Request(request) = &mut envelope.message {
                request.id = id;
            }
            bytes
        }
        _ => python::encode(envelope),
    }
}

/// Returns the mark of a message that accompanies another one, for servers that do not understand the other. It is the
/// mark of no message that waits.
pub(crate) fn beside(mark: Mark, number: usize) -> Mark {
    let mut hash = Sha256::new();
    hash.update(format!("{mark} {number}"));
    mark_of(hash)
}

fn mark_of(hash: Sha256) -> Mark {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hash.finalize()[..16]);
    Mark::new(fingerprint)
}

#[cfg(test)]
mod tests {
    use manager_api::message::{CallbackAddress, Emit};
    use manager_api::{EventName, HostId, NamespaceName, Payload};

    use super::*;

    fn envelope(number: u32) -> Envelope {
        let payload = Payload::new(&number).unwrap();
        let emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), payload);
        Envelope::new(Some(HostId::from("host")), Message::Emit(emit))
    }

    #[test]
    fn only_what_a_bridge_numbers_itself_makes_no_difference() {
        let mark = |bridge, side, mut envelope| of(bridge, side, &mut envelope).0;
        let plain = mark("b", "s", envelope(1));
        let mut asking = envelope(1);
        if let Message::Emit(emit) = &mut asking.message {
            let (room, namespace) = (None, NamespaceName::root());
            emit.callback = Some(CallbackAddress { room, namespace, id: 3 });
            (emit.report, emit.receipt) = (Some(4), Some(5));
        }
        let before = asking.clone();
        assert_eq!(of("b", "s", &mut asking).0, plain);
        assert_eq!(asking, before, "the ids are still there");
        let mut other = envelope(1);
        other.host_id = Some(HostId::from("other"));
        for different in [
            mark("b", "s", envelope(2)),
            mark("b", "s", other),
            mark("b", "t", envelope(1)),
            mark("bs", "", envelope(1)),
            beside(plain, 1),
        ] {
            assert_ne!(different, plain);
        }
    }
}
