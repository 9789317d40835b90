//! Clients that the server disconnects, at awkward moments.

use std::time::Duration;

use socket_io::{Socket, SocketIo};
use tokio::sync::{mpsc, watch};

use crate::client::{Client, TestServer, request, within};

/// Sends what it is told of to the test, which ends before the handlers do.
fn tell<T: Send + 'static>(sender: &mpsc::UnboundedSender<T>, what: T) -> std::future::Ready<()> {
    let _ = sender.send(what);
    std::future::ready(())
}

/// Waits until nothing of the clients of dynamic namespaces is left.
async fn is_forgotten(io: &SocketIo) {
    within(async {
        while io.metrics().num_dynamic_namespaces > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_is_kicked_while_its_connection_breaks_is_told_to_its_disconnect_handler_and_forgotten() {
    let builder = SocketIo::builder().configure(|config| config.engine.outbox_hard_limit = 4_096);
    let server = TestServer::with(builder).await;
    let (sockets, mut accepted) = mpsc::unbounded_channel();
    let (ends, mut ended) = mpsc::unbounded_channel();
    let any = server.io.any_namespace();
    any.on_connect(move |socket: Socket| tell(&sockets, socket));
    any.on_disconnect(move |socket: Socket| tell(&ends, socket.id().clone()));
    let too_much = "x".repeat(10_000);
    for round in 0..1_000 {
        let mut client = server.open().await;
        client.join(&format!("/dynamic-{round}")).await;
        let socket = within(accepted.recv()).await.unwrap();
        if socket.emit("news", &too_much).await.is_err() {
            socket.disconnect();
        }
        assert_eq!(within(ended.recv()).await.as_ref(), Some(socket.id()), "round {round}");
    }
    is_forgotten(&server.io).await;
}

#[test]
fn a_runtime_that_ends_with_clients_connected_leaves_nothing_of_them() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (serving, connecting) = (runtime(), runtime());
    let server = serving.block_on(TestServer::start());
    server.io.any_namespace();
    let client = connecting.block_on(async {
        let mut client = Client::open(server.address).await;
        client.join("/dynamic").await;
        client
    });
    assert_eq!(server.io.metrics().num_dynamic_namespaces, 1);
    serving.shutdown_timeout(Duration::from_secs(10));
    connecting.block_on(is_forgotten(&server.io));
    drop(client);
}

#[tokio::test]
async fn events_that_wait_behind_the_one_that_disconnects_their_client_are_not_handled() {
    let server = TestServer::start().await;
    let (proceed, gate) = watch::channel(false);
    let (events, mut handled) = mpsc::unbounded_channel();
    let (ends, mut ended) = mpsc::unbounded_channel();
    let root = server.io.namespace("/");
    root.on("auth", move |socket: Socket| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            socket.disconnect();
        }
    });
    root.on("delete all", move || tell(&events, ()));
    root.on_disconnect(move || tell(&ends, ()));
    server.io.namespace("/other").on("ok", async || "ok");
    let mut client = server.connect().await;
    client.join("/other").await;
    client.send("42[\"auth\",\"bad\"]").await;
    client.send("42[\"delete all\"]").await;
    // Once this is answered the others wait.
    client.send("42/other,0[\"ok\"]").await;
    client.expect("43/other,0[\"ok\"]").await;
    proceed.send_replace(true);
    client.expect("41").await;
    within(ended.recv()).await.unwrap();
    assert!(handled.try_recv().is_err());
    // Others of the connection go on.
    client.send("42/other,1[\"ok\"]").await;
    client.expect("43/other,1[\"ok\"]").await;
}

#[tokio::test]
async fn an_event_whose_middleware_disconnects_the_client_is_not_handled() {
    let server = TestServer::start().await;
    let (events, mut handled) = mpsc::unbounded_channel();
    let (ends, mut ended) = mpsc::unbounded_channel();
    let root = server.io.namespace("/");
    root.use_event(async |socket: Socket| socket.disconnect());
    root.on("delete all", move || tell(&events, ()));
    root.on_disconnect(move || tell(&ends, ()));
    let mut client = server.connect().await;
    client.send("42[\"delete all\"]").await;
    client.expect("41").await;
    within(ended.recv()).await.unwrap();
    assert!(handled.try_recv().is_err());
}

const REFUSED: &str = "{\"message\":\"Connection rejected by server\"}";

#[tokio::test]
async fn a_client_that_its_connect_handler_disconnects_is_refused_once() {
    let server = TestServer::start().await;
    let (kicked, says_no) = (server.io.namespace("/kicked"), server.io.namespace("/says-no"));
    kicked.on_connect(async |socket: Socket| socket.disconnect());
    says_no.use_connect(async |socket: Socket| {
        socket.disconnect();
        false
    });
    let mut client = server.open().await;
    for name in ["/kicked", "/says-no"] {
        client.send(&format!("40{name},")).await;
        client.expect(&format!("44{name},{REFUSED}")).await;
    }
    client.join("/").await;
}

#[tokio::test]
async fn a_client_that_is_disconnected_from_elsewhere_while_its_connect_handler_waits_is_refused_at_once() {
    struct OnDrop(mpsc::UnboundedSender<()>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let server = TestServer::start().await;
    let (sockets, mut asked) = mpsc::unbounded_channel();
    let (drops, mut dropped) = mpsc::unbounded_channel();
    server.io.namespace("/slow").on_connect(move |socket: Socket| {
        sockets.send(socket).unwrap();
        let dropped = OnDrop(drops.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<()>().await
        }
    });
    let mut client = server.open().await;
    client.send("40/slow,").await;
    within(asked.recv()).await.unwrap().disconnect();
    client.expect(&format!("44/slow,{REFUSED}")).await;
    within(dropped.recv()).await.unwrap();
}

#[tokio::test]
async fn a_client_can_be_moved_by_its_id_while_its_connect_handler_runs() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on_connect(async |socket: Socket, io: SocketIo| {
        let root = io.namespace("/");
        socket.join("left").map_err(|error| error.to_string())?;
        root.enter_room(socket.id(), "entered")
            .await
            .map_err(|error| error.to_string())?;
        root.leave_room(socket.id(), "left")
            .await
            .map_err(|error| error.to_string())
    });
    let mut client = server.connect().await;
    for room in ["left", "entered"] {
        server.io.to(room).emit("hello", room).await.unwrap();
    }
    client.expect("42[\"hello\",\"entered\"]").await;
}

#[tokio::test]
async fn a_client_can_be_disconnected_by_its_id_while_its_connect_handler_runs() {
    let server = TestServer::start().await;
    let kicked = server.io.namespace("/kicked");
    kicked.on_connect(async |socket: Socket, io: SocketIo| {
        let disconnected = io.namespace("/kicked").disconnect(socket.id()).await;
        disconnected.map_err(|error| error.to_string())
    });
    let mut client = server.open().await;
    client.send("40/kicked,").await;
    client.expect(&format!("44/kicked,{REFUSED}")).await;
    assert_eq!(kicked.num_clients(), 0);
}

#[tokio::test]
async fn what_waits_for_the_acceptance_is_bounded_in_bytes() {
    let builder = SocketIo::builder().configure(|config| config.engine.outbox_hard_limit = 10_000);
    let server = TestServer::with(builder).await;
    let (counts, mut counted) = mpsc::unbounded_channel();
    server.io.namespace("/").on_connect(move |socket: Socket| {
        let letters = "x".repeat(1_000);
        let count = (0..100)
            .take_while(|_| socket.emit("much", &letters).into_inner().is_ok())
            .count();
        tell(&counts, count)
    });
    let path = "/socket.io/?EIO=4&transport=polling";
    let opening = request(server.address, "GET", path, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    request(server.address, "POST", &format!("{path}&sid={}", &rest[..20]), "40").await;
    let count = within(counted.recv()).await.unwrap();
    assert!((5..10).contains(&count), "{count}");
}
