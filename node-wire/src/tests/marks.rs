//! The mark of a bridge: written where Node's adapters ignore it, and read from every kind of message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use manager_api::cluster::{Change, ClusterRequest, RequestKind, Selection};
use manager_api::memory::MemoryBus;
use manager_api::message::{Emit, Envelope, Mark, Message, Target};
use manager_api::wire::{Arrival, Arrivals, DecodeLimits, Messenger, Process, Role, Wire};
use manager_api::{EventName, HostId, NamespaceName, Payload};

use crate::NodeWire;

const MARK: Mark = Mark::new(*b"0123456789abcdef");

async fn server(bus: &MemoryBus, wire: &NodeWire) -> (Arc<dyn Messenger>, Arrivals) {
    let process = Process {
        host_id: HostId::random(),
        role: Role::Server,
        limits: DecodeLimits::default(),
    };
    let messenger = wire.open(Arc::new(bus.manager("unused")), process).unwrap();
    messenger.attend(&NamespaceName::root());
    let arrivals = messenger.receive().await.unwrap();
    (messenger, arrivals)
}

fn messages() -> Vec<Message> {
    let emit = |payload| Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), payload);
    let with_binary = Payload::new(&Bytes::from_static(b"\x00\x01")).unwrap();
    let mut with_receipt = emit(Payload::new(&1).unwrap());
    with_receipt.receipt = Some(1);
    let clients = Selection {
        namespace: NamespaceName::root(),
        target: Target::Rooms(vec!["r".into()]),
        skip: Vec::new(),
        except: Vec::new(),
    };
    let request = |kind| {
        Message::Request(ClusterRequest {
            id: Some(7),
            kind,
            timeout: Duration::from_secs(1),
        })
    };
    vec![
        Message::Emit(emit(Payload::new(&1).unwrap())),
        Message::Emit(emit(with_binary.clone())),
        Message::Emit(with_receipt),
        Message::Members {
            clients: clients.clone(),
            change: Change::Join(vec!["s".into()]),
        },
        Message::Members {
            clients: clients.clone(),
            change: Change::Disconnect,
        },
        request(RequestKind::Sockets { clients, limit: 10 }),
        request(RequestKind::Event {
            event: EventName::new("e").unwrap(),
            payload: with_binary,
        }),
    ]
}

async fn next_mark(arrivals: &mut Arrivals) -> Option<Mark> {
    loop {
        match arrivals.next().await.unwrap() {
            Arrival::Message(envelope) => return envelope.mark,
            Arrival::Own { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_message_of_a_bridge_is_known_by_its_mark_and_no_other_is() {
    for wire in [
        NodeWire::classic(),
        NodeWire::sharded(),
        NodeWire::streams(),
        NodeWire::streams_before_0_3(),
    ] {
        let bus = MemoryBus::new();
        let (sender, _own) = server(&bus, &wire).await;
        let (_receiver, mut arrivals) = server(&bus, &wire).await;
        for message in messages() {
            for mark in [Some(MARK), None] {
                let envelope = Envelope {
                    host_id: Some(sender.process().host_id.clone()),
                    message: message.clone(),
                    mark,
                };
                sender.encode(envelope).publish.await.unwrap();
                assert_eq!(next_mark(&mut arrivals).await, mark, "{wire:?}: {message:?}");
            }
        }
    }
}
