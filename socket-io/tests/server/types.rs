//! Namespace types: a value with a method per event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use socket_io::handler::{Methods, NamespaceType};
use socket_io::manager_api::NamespaceName;
use socket_io::socket::DisconnectReason;
use socket_io::{Data, Socket};
use tokio::sync::mpsc;

use crate::client::{TestServer, within};

/// Counts what it is told, for all clients together.
struct Counter {
    count: AtomicU32,
    left: mpsc::UnboundedSender<(String, DisconnectReason)>,
}

impl NamespaceType for Counter {
    fn methods(methods: &mut Methods<Self>) {
        methods
            .on_connect(Self::connect)
            .on_disconnect(Self::disconnect)
            .on("add", Self::add)
            .on("get", Self::get);
    }
}

impl Counter {
    fn new() -> (Self, mpsc::UnboundedReceiver<(String, DisconnectReason)>) {
        let (left, told) = mpsc::unbounded_channel();
        let count = AtomicU32::new(0);
        (Self { count, left }, told)
    }

    async fn connect(self: Arc<Self>, socket: Socket) -> bool {
        socket.join("counters").is_ok() && self.count.load(Ordering::Relaxed) < 100
    }

    async fn disconnect(self: Arc<Self>, namespace: NamespaceName, reason: DisconnectReason) {
        self.left.send((namespace.to_string(), reason)).unwrap();
    }

    async fn add(self: Arc<Self>, Data(n): Data<u32>) -> u32 {
        self.count.fetch_add(n, Ordering::Relaxed) + n
    }

    async fn get(self: Arc<Self>) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn methods_handle_events_and_share_the_state_of_their_value() {
    let server = TestServer::start().await;
    let (counter, mut left) = Counter::new();
    server.io.namespace("/count").register(counter);
    let (mut one, mut two) = (server.open().await, server.open().await);
    one.join("/count").await;
    two.join("/count").await;
    one.send("42/count,0[\"add\",99]").await;
    one.expect("43/count,0[99]").await;
    two.send("42/count,1[\"add\",1]").await;
    two.expect("43/count,1[100]").await;
    server.io.of("/count").to("counters").emit("full", &()).await.unwrap();
    one.expect("42/count,[\"full\"]").await;
    // An event without a method is ignored.
    one.send("42/count,2[\"reset\"]").await;
    one.send("41/count,").await;
    let reason = DisconnectReason::ClientNamespaceDisconnect;
    assert_eq!(within(left.recv()).await, Some(("/count".to_owned(), reason)));
    one.send("40/count,").await;
    one.expect("44/count,{\"message\":\"Connection rejected by server\"}")
        .await;
}

#[tokio::test]
async fn functions_win_over_methods_also_if_they_are_further_away() {
    let server = TestServer::start().await;
    let (counter, _left) = Counter::new();
    let (everywhere, _left) = Counter::new();
    let count = server.io.namespace("/count");
    count.register(counter);
    server.io.any_namespace().register(everywhere);
    let mut client = server.open().await;
    client.join("/count").await;
    client.join("/elsewhere").await;
    client.send("42/count,0[\"add\",5]").await;
    client.expect("43/count,0[5]").await;
    // The type for every namespace has a state of its own.
    client.send("42/elsewhere,0[\"get\"]").await;
    client.expect("43/elsewhere,0[0]").await;
    server.io.any_namespace().on("get", async || "a function of any");
    client.send("42/count,1[\"get\"]").await;
    client.expect("43/count,1[\"a function of any\"]").await;
    count.on_any(async || "a catch-all");
    client.send("42/count,2[\"add\",5]").await;
    client.expect("43/count,2[\"a catch-all\"]").await;
}
