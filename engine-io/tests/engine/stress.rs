//! Many clients at once, on several threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine_io::{CloseReason, Config, Engine, Handler, Handshake, Message, Outgoing, ProtocolError, Session, Socket};

use crate::client::{Pending, Ws};
use crate::support::{Server, poll, within};

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    closed: AtomicUsize,
    dropped: AtomicUsize,
}

struct Counting(Arc<Counts>);

struct Echo(Arc<Counts>, Socket);

impl Handler for Counting {
    fn open(&self, socket: Socket, _: Handshake) -> Box<dyn Session> {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        Box::new(Echo(self.0.clone(), socket))
    }
}

impl Session for Echo {
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let Message::Text(text) = message else {
            return Err(ProtocolError::new("binary"));
        };
        let _ = self.1.send(Outgoing::text(text));
        Ok(())
    }

    fn close(&mut self, _: CloseReason) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn upgrades_and_ends_in_every_order_leave_nothing_behind() {
    let counts = Arc::new(Counts::default());
    let engine = Engine::new(Counting(counts.clone()), Config::default());
    let server = Arc::new(Server::serve(engine).await);
    let clients: Vec<_> = (0..120)
        .map(|number| {
            let server = server.clone();
            tokio::spawn(async move { client(&server, number).await })
        })
        .collect();
    for client in clients {
        within(client).await.unwrap();
    }
    within(server.engine.shutdown()).await;
    let metrics = server.engine.metrics();
    assert_eq!((metrics.open_sessions, metrics.opened, metrics.panics), (0, 120, 0));
    assert_eq!(metrics.closed.total(), 120);
    for count in [&counts.opened, &counts.closed, &counts.dropped] {
        assert_eq!(count.load(Ordering::SeqCst), 120);
    }
}

/// Polls, moves to a WebSocket, checks that nothing is lost or out of order, and leaves in one of
/// several ways.
async fn client(server: &Server, number: usize) {
    let opening = server.get("/?EIO=4&transport=polling").await.body;
    let sid = opening.split('"').nth(3).unwrap().to_owned();
    let pending = server.poll(&sid).await;
    let way = number % 6;
    if way == 0 {
        return drop(pending);
    }
    let mut ws = Ws::upgrade(server, &sid).await;
    assert_eq!(server.post(&sid, b"4first").await.body, "ok");
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    let polled = pending.response().await.body;
    if way == 1 {
        server.post(&sid, b"1").await;
        return;
    }
    let late = Pending::start(server.addr, "GET", &poll(&sid), "", b"").await;
    ws.send_text("5").await;
    let late = late.response().await.body;
    for message in 0..50 {
        ws.send_text(&format!("4{message}")).await;
    }
    if polled == "6" && late != "4first" {
        assert_eq!(ws.text().await, "4first");
    }
    for message in 0..50 {
        assert_eq!(ws.text().await, format!("4{message}"));
    }
    match way {
        2 => ws.send_text("1").await,
        3 => ws.send(0x88, &[]).await,
        4 => drop(ws),
        _ => {} // until the shutdown, or until here
    }
}
