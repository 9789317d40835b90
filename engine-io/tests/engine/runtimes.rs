//! Several runtimes, as in actix-web, and those that end.

use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use bytes::Bytes;
use engine_io::{CloseReason, Config, Engine, Handler, Handshake, Message, Outgoing, ProtocolError, Session, Socket};
use http::Request;
use http_body_util::Empty;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::client::{Pending, Ws};
use crate::support::{Event, PATIENCE, Server};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Sends the text that came, and tells on which threads its messages are handled.
struct Threads(mpsc::Sender<ThreadId>, Socket);

impl Session for Threads {
    fn message(&mut self, _: Message<'_>) -> Result<(), ProtocolError> {
        self.0.send(thread::current().id()).unwrap();
        self.1.send(Outgoing::text("done")).unwrap();
        Ok(())
    }
}

struct OfThreads(mpsc::Sender<ThreadId>);

impl Handler for OfThreads {
    fn open(&self, socket: Socket, _: Handshake) -> Box<dyn Session> {
        Box::new(Threads(self.0.clone(), socket))
    }
}

#[test]
fn a_websocket_stays_on_the_runtime_that_serves_it() {
    let (sender, threads) = mpsc::channel();
    let engine = Engine::new(OfThreads(sender), Config::default());
    let talk = |engine: Engine| {
        runtime().block_on(async move {
            let server = Server::serve(engine).await;
            let mut ws = Ws::connect(server.addr, "/?EIO=4&transport=websocket").await;
            ws.text().await;
            ws.send_text("4hello").await;
            assert_eq!(ws.text().await, "4done");
        });
        thread::current().id()
    };
    thread::scope(|scope| {
        // The first one lives on while the second works.
        let first = runtime();
        let addr = first.block_on(Server::serve(engine.clone())).addr;
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        scope.spawn(move || first.block_on(ended));
        let opened = runtime().block_on(async move { Ws::connect(addr, "/?EIO=4&transport=websocket").await });
        let second = scope.spawn(|| talk(engine.clone())).join().unwrap();
        assert_eq!(threads.recv_timeout(PATIENCE), Ok(second));
        drop((end, opened));
    });
}

#[test]
fn heartbeats_go_on_when_the_runtime_of_the_first_client_has_ended() {
    let config = Config {
        ping_interval: Duration::from_millis(50),
        ..Config::default()
    };
    let (sender, _threads) = mpsc::channel();
    let engine = Engine::new(OfThreads(sender), config);
    let first = runtime();
    first.block_on(async {
        let server = Server::serve(engine.clone()).await;
        let target = "/?EIO=4&transport=polling";
        let response = Pending::start(server.addr, "GET", target, "", b"")
            .await
            .response()
            .await;
        assert_eq!(response.status, 200);
    });
    drop(first);
    runtime().block_on(async {
        let server = Server::serve(engine).await;
        let mut ws = Ws::connect(server.addr, "/?EIO=4&transport=websocket").await;
        ws.text().await;
        assert_eq!(ws.text().await, "2");
    });
}

#[test]
fn heartbeats_go_on_when_the_runtime_of_an_earlier_client_ends() {
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ..Config::default()
    };
    let (sender, _threads) = mpsc::channel();
    let engine = Engine::new(OfThreads(sender), config);
    let (first, second) = (runtime(), runtime());
    first.block_on(async {
        let server = Server::serve(engine.clone()).await;
        let target = "/?EIO=4&transport=polling";
        Pending::start(server.addr, "GET", target, "", b"")
            .await
            .response()
            .await;
    });
    let mut ws = second.block_on(async {
        let server = Server::serve(engine.clone()).await;
        let mut ws = Ws::connect(server.addr, "/?EIO=4&transport=websocket").await;
        ws.text().await;
        ws
    });
    drop(first);
    assert_eq!(second.block_on(ws.text()), "2");
}

#[test]
fn work_that_waits_goes_on_when_the_runtime_that_did_it_has_ended() {
    let first = runtime();
    let (mut server, sid) = first.block_on(async {
        let mut server = Server::start(Config::default()).await;
        let (sid, _) = server.polling().await;
        assert_eq!(server.post(&sid, b"4hold").await.body, "ok");
        assert_eq!(server.text().await, "hold");
        (server, sid)
    });
    drop(first);
    runtime().block_on(async {
        let second = Server::serve(server.engine.clone()).await;
        server.release.add_permits(1);
        assert_eq!(second.post(&sid, b"4more").await.body, "ok");
        assert!(matches!(server.event().await, Event::Worked));
        assert_eq!(server.text().await, "more");
    });
}

/// Is closed while it opens, before anybody could tell it.
struct ClosedAtOnce(mpsc::Sender<CloseReason>);

impl Handler for ClosedAtOnce {
    fn open(&self, socket: Socket, _: Handshake) -> Box<dyn Session> {
        socket.send(Outgoing::text(&"x".repeat(1_000))).unwrap_err();
        // Tasks run in order: what the end of the connection started has run after this one.
        let (sender, ran) = mpsc::channel();
        Handle::current().spawn(async move { sender.send(()).unwrap() });
        ran.recv_timeout(PATIENCE).unwrap();
        Box::new(Told(self.0.clone()))
    }
}

struct Told(mpsc::Sender<CloseReason>);

impl Session for Told {
    fn message(&mut self, _: Message<'_>) -> Result<(), ProtocolError> {
        Ok(())
    }

    fn close(&mut self, reason: CloseReason) {
        self.0.send(reason).unwrap();
    }
}

#[test]
fn a_session_that_is_closed_while_it_opens_is_told_so() {
    let config = Config {
        outbox_hard_limit: 500,
        ..Config::default()
    };
    let (sender, closed) = mpsc::channel();
    let engine = Engine::new(ClosedAtOnce(sender), config);
    // One thread for tasks, so that they run in order; another for the request.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let request = Request::get("/?EIO=4&transport=polling");
    runtime.block_on(engine.handle(request.body(Empty::<Bytes>::new()).unwrap()));
    assert_eq!(closed.recv_timeout(PATIENCE), Ok(CloseReason::Overflow));
    drop(runtime);
    assert!(closed.try_recv().is_err(), "it is told once");
}
