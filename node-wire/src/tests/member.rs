//! A server of ours on a broker in memory: which messages it receives while its namespaces change.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use manager_api::cluster::{ClusterRequest, RequestKind, Selection};
use manager_api::memory::MemoryBus;
use manager_api::message::{Message, Target};
use manager_api::topics::{Delivery, Entry, Interest, Stream, Topic, Topics};
use manager_api::wire::{Arrival, Arrivals, DecodeLimits, Messenger, Process, Role, Servers, Wire};
use manager_api::{Emitter, HostId, Incoming, NamespaceName, Subscription};
use tokio::time::{sleep, timeout};

use crate::{NodeLimits, NodeWire};

/// A server of ours, and the broker.
struct Member {
    messenger: Arc<dyn Messenger>,
    arrivals: Arrivals,
    wire: NodeWire,
    bus: MemoryBus,
}

fn name(namespace: &str) -> NamespaceName {
    NamespaceName::new(namespace).unwrap()
}

impl Member {
    /// Starts a server without namespaces.
    async fn start(wire: NodeWire) -> Self {
        let bus = MemoryBus::new();
        let process = Process {
            host_id: HostId::from("ours"),
            role: Role::Server,
            limits: DecodeLimits::default(),
        };
        let messenger = wire.open(Arc::new(bus.manager("unused")), process).unwrap();
        let arrivals = messenger.receive().await.unwrap();
        Self {
            messenger,
            arrivals,
            wire,
            bus,
        }
    }

    /// Returns an emitter on the same wire.
    fn emitter(&self) -> Emitter {
        Emitter::with_wire(Arc::new(self.bus.manager("unused")), &self.wire).unwrap()
    }

    /// Emits an event into a namespace until the server receives one.
    async fn receives_events_of(&mut self, namespace: &str) {
        let emitter = self.emitter();
        let emits = async {
            loop {
                emitter.of(namespace).emit("ev", &1).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = emits => {}
            () = next(&mut self.arrivals, |message| matches!(message, Message::Emit(_)).then_some(())) => {}
        }
    }

    /// Sends a request for the clients of a namespace, and returns a response to it that a server on Node would send.
    async fn request(&self, namespace: &str, id: u64) -> Bytes {
        let manager = self.bus.manager("unused");
        let topic = Topic::new(format!("socket.io-request#{namespace}#"));
        let requests = manager.subscribe_to(vec![Interest::Topic(topic)]).await;
        let clients = Selection {
            namespace: name(namespace),
            target: Target::Everyone,
            skip: Vec::new(),
            except: Vec::new(),
        };
        let request = ClusterRequest {
            id: Some(id),
            kind: RequestKind::Sockets { clients, limit: 9 },
            timeout: Duration::from_secs(5),
        };
        self.messenger.publish(Message::Request(request)).await.unwrap();
        let request = next_message(&mut requests.unwrap()).await;
        let request: serde_json::Value = serde_json::from_slice(&request).unwrap();
        format!("{{\"requestId\":{},\"sockets\":[]}}", request["requestId"]).into()
    }

    async fn respond(&self, namespace: &str, response: Bytes) {
        let topic = Topic::new(format!("socket.io-response#{namespace}#"));
        self.bus.manager("unused").publish_to(&topic, response).await.unwrap();
    }
}

async fn next_message(subscription: &mut Subscription<Delivery>) -> Bytes {
    match timeout(Duration::from_secs(5), subscription.recv()).await {
        Ok(Some(Incoming::Message(Delivery::Message { message, .. }))) => message,
        other => panic!("{other:?}"),
    }
}

/// Waits for a message, and returns what is picked of it.
async fn next<T>(arrivals: &mut Arrivals, pick: impl Fn(&Message) -> Option<T>) -> T {
    let waiting = async {
        while let Some(arrival) = arrivals.next().await {
            if let Arrival::Message(envelope) = &arrival
                && let Some(picked) = pick(&envelope.message)
            {
                return picked;
            }
        }
        panic!("the arrivals have ended");
    };
    timeout(Duration::from_secs(5), waiting)
        .await
        .expect("it does not arrive")
}

/// Returns the id of the request that a message responds to.
fn response_id(message: &Message) -> Option<u64> {
    match message {
        Message::Response(response) => Some(response.id),
        _ => None,
    }
}

#[tokio::test]
async fn a_server_that_asked_about_a_namespace_before_it_had_it_receives_its_events() {
    for wire in [
        NodeWire::classic(),
        NodeWire::sharded(),
        NodeWire::streams(),
        NodeWire::streams_before_0_3(),
    ] {
        let mut member = Member::start(wire).await;
        let chat = name("/chat");
        member.messenger.servers(&chat).await.unwrap();
        member.messenger.attend(&chat);
        member.receives_events_of("/chat").await;
    }
}

/// Node's servers send heartbeats only while they send nothing else.
#[tokio::test(start_paused = true)]
async fn a_server_that_sends_events_instead_of_heartbeats_is_waited_for() {
    let mut member = Member::start(NodeWire::streams_before_0_3()).await;
    let root = name("/");
    member.messenger.attend(&root);
    member.messenger.servers(&root).await.unwrap();
    let manager = member.bus.manager("unused");
    let stream = Stream {
        name: "socket.io".into(),
        max_len: 100,
    };
    let data = r#"{"packet":{"type":2,"data":["ev"]},"opts":{"rooms":[],"except":[],"flags":{}}}"#;
    let event = Entry::from_iter([("uid", "busy"), ("nsp", "/"), ("type", "3"), ("data", data)]);
    for _ in 0..5 {
        manager.append(&stream, event.clone()).await.unwrap();
        next(&mut member.arrivals, |message| {
            matches!(message, Message::Emit(_)).then_some(())
        })
        .await;
        sleep(Duration::from_secs(3)).await;
    }
    let servers = member.messenger.servers(&root).await.unwrap();
    assert_eq!(servers, Servers::Named(vec![HostId::from("busy")]));
}

#[tokio::test]
async fn a_change_of_the_own_namespaces_loses_no_response_about_another_one() {
    let mut member = Member::start(NodeWire::classic()).await;
    let (other, own) = (name("/other"), name("/own"));
    member.messenger.servers(&other).await.unwrap();
    let response = member.request("/other", 7).await;
    member.messenger.attend(&own);
    member.receives_events_of("/own").await;
    member.respond("/other", response).await;
    assert_eq!(next(&mut member.arrivals, response_id).await, 7);
}

#[tokio::test]
async fn a_response_arrives_once_while_a_server_enters_and_leaves_the_namespace_that_it_asked_about() {
    let mut member = Member::start(NodeWire::classic()).await;
    let chat = name("/chat");
    member.messenger.servers(&chat).await.unwrap();
    let (first, second) = (member.request("/chat", 1).await, member.request("/chat", 2).await);
    member.messenger.attend(&chat);
    member.receives_events_of("/chat").await;
    assert_eq!(member.messenger.servers(&chat).await.unwrap(), Servers::Counted(0));
    member.respond("/chat", first).await;
    member.messenger.leave(&chat);
    // It counts no more, and still receives the response that it waits for.
    let topic = Topic::new("socket.io-request#/chat#");
    let manager = member.bus.manager("unused");
    let uncounted = async {
        while manager.count_subscribers(&topic).await.unwrap() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), uncounted)
        .await
        .expect("it is still counted");
    member.respond("/chat", second).await;
    let mut ids = Vec::new();
    while ids.last() != Some(&2) {
        ids.push(next(&mut member.arrivals, response_id).await);
    }
    assert_eq!(ids, [1, 2]);
}

#[tokio::test]
async fn requests_that_wait_to_be_handed_on_when_a_server_closes_are_handed_on_once() {
    let limits = NodeLimits {
        max_waiting_arrivals: 1,
        ..NodeLimits::default()
    };
    let mut member = Member::start(NodeWire::classic().limits(limits)).await;
    member.messenger.attend(&name("/"));
    member.receives_events_of("/").await;
    // One of them is a step further than the other two: it is known already, and waits for the arrivals to be read.
    for number in 1..=3 {
        let request = format!(r#"{{"uid":"node","requestId":"r{number}","type":5,"opts":{{"rooms":[],"except":[]}}}}"#);
        let topic = Topic::new("socket.io-request#/#");
        let manager = member.bus.manager("unused");
        manager.publish_to(&topic, request.into()).await.unwrap();
    }
    sleep(Duration::from_millis(50)).await;
    let closing = tokio::spawn(member.messenger.publish(Message::Bye));
    let mut num_requests = 0;
    let counting = async {
        loop {
            next(&mut member.arrivals, |message| {
                matches!(message, Message::Request(_)).then_some(())
            })
            .await;
            num_requests += 1;
        }
    };
    tokio::select! {
        closed = closing => closed.unwrap().unwrap(),
        () = counting => {}
    }
    assert_eq!(num_requests, 3);
}
