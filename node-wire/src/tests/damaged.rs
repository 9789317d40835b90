//! Damaged messages of any publisher: reading them neither panics nor takes effect beyond their namespace.

use bytes::Bytes;
use manager_api::topics::Entry;
use manager_api::wire::{Arrival, DecodeLimits};
use manager_api::{HostId, NamespaceName};

use super::recorded::recorded_bytes;
use crate::member::{PendingRequests, Reader, classic_broadcast, classic_request, cluster_entry, cluster_message};
use crate::response::{self, Requester, ResponseLimits};

/// Reads bytes in every way; returns how many of them made a message.
fn read(bytes: &Bytes, pending: &PendingRequests, namespace: &NamespaceName) -> usize {
    let reader = Reader {
        uid: "0123456789abcdef",
        namespace,
        limits: DecodeLimits::default(),
        pending,
        is_retiring: false,
    };
    let host_id = HostId::from("host");
    let requester = Requester {
        host_id: &host_id,
        uid: reader.uid,
        namespace,
        limits: ResponseLimits {
            max_names: 100,
            max_attachments: 10,
        },
    };
    response::classic(bytes, &requester, || host_id.clone());
    response::cluster(bytes, &requester);
    let entry = Entry::from_iter([("uid", "aa"), ("nsp", "/"), ("type", "3")].map(|(k, v)| (k, Bytes::from(v))));
    let mut with_data = entry.clone();
    with_data.fields.push((Bytes::from("data"), bytes.clone()));
    let reads = [
        classic_broadcast(bytes, &reader),
        classic_request(bytes, &reader),
        cluster_message(bytes, &reader),
        cluster_entry(&entry, &reader),
        cluster_entry(&with_data, &reader),
    ];
    let is_message = |read: &Result<Option<Arrival>, _>| matches!(read, Ok(Some(Arrival::Message(_))));
    reads.iter().filter(|read| is_message(read)).count()
}

#[tokio::test]
async fn no_damaged_message_makes_a_reader_panic() {
    let (root, pending) = (NamespaceName::root(), PendingRequests::new(100_000));
    let mut num_whole = 0;
    for message in recorded_bytes() {
        num_whole += read(&Bytes::from(message.clone()), &pending, &root);
        // Each byte of a message, or of a long one about a thousand: most of it is filled with the same.
        for at in (0..message.len()).step_by(1 + message.len() / 1_000) {
            read(&Bytes::copy_from_slice(&message[..at]), &pending, &root);
            for byte in [0, 1, 0x7f, 0x80, 0xc1, 0xdf, 0xff, b'"', b'{', b'-'] {
                let mut damaged = message.clone();
                damaged[at] = byte;
                read(&Bytes::from(damaged), &pending, &root);
            }
        }
    }
    assert!(num_whole > 60, "{num_whole}");
}

#[tokio::test]
async fn what_is_for_another_namespace_is_passed_over() {
    let (other, pending) = (NamespaceName::new("/other").unwrap(), PendingRequests::new(100_000));
    for message in recorded_bytes() {
        // Requests of the classic adapter name no namespace: their channel does.
        if !message.starts_with(b"{\"uid\"") && !message.starts_with(b"{\"type\"") && message[0] != 0x85 {
            assert_eq!(read(&Bytes::from(message), &pending, &other), 0);
        }
    }
}
