//! Cases of events and commands between two hosts, and from an emitter.

use std::sync::Arc;

use bytes::Bytes;
use manager_api::{ClientManager, Emitter, Incoming, NamespaceName, Room, Sid};

use super::host::{Host, PANIC, two_hosts};
use crate::Recorder;
use crate::conformance::Backend;
use crate::conformance::support::{eventually, options, soon};

/// An emit reaches every member of its rooms once on every host, and no excluded client.
pub async fn an_emit_reaches_every_member_once_and_not_the_excluded(backend: &dyn Backend) {
    let (mut one, mut two, options) = two_hosts(backend).await;
    for (host, names) in [(&one, ["a", "b", "c"]), (&two, ["x", "y", "z"])] {
        host.add(names[0], &["r", "s"]);
        host.add(names[1], &["r", "muted"]);
        host.add(names[2], &[]);
    }
    let emitter = Emitter::new(backend.manager(options).await);
    for from in [one.hub.broadcast(), two.hub.broadcast(), emitter.broadcast()] {
        let some = from.to_all(["r", "s", "c", "z"]).except("muted").skip("z");
        soon("publish", some.emit("e", &("one", 2))).await.expect("publish");
        // Two in two rooms each, and one by its own id; the order among the members of a host is unspecified.
        let mut got = [one.next().await, one.next().await];
        got.sort_by(|a, b| a.sid.as_str().cmp(b.sid.as_str()));
        assert_eq!(got.each_ref().map(|delivery| delivery.sid.as_str()), ["a", "c"]);
        assert!(got.iter().all(|delivery| delivery.payload.json() == "[\"one\",2]"));
        two.expect("x", "e", "[\"one\",2]").await;
    }
    one.settle(&two, "b").await;
    two.settle(&one, "y").await;
}

/// Another host carries out the events and commands of one host in their order.
pub async fn events_and_commands_of_one_host_keep_their_order(backend: &dyn Backend) {
    const COUNT: usize = 200;
    let (one, mut two, _) = two_hosts(backend).await;
    two.add("x", &[]);
    for number in 0..COUNT {
        let room = format!("r{number}");
        let io = || one.hub.broadcast();
        soon("enter", io().enter_room("x", &*room)).await.expect("enter");
        soon("emit", io().to(&*room).emit("e", &number)).await.expect("emit");
        soon("leave", io().leave_room("x", &*room)).await.expect("leave");
        soon("emit", io().to(&*room).emit("late", &number)).await.expect("emit");
    }
    for number in 0..COUNT {
        two.expect("x", "e", &format!("[{number}]")).await;
    }
    two.settle(&one, "x").await;
}

/// A host carries out its own commands once: its messages come back, are dropped and counted.
pub async fn own_messages_are_dropped(backend: &dyn Backend) {
    let options = options();
    let recorder = Recorder::new(backend.manager(options.clone()).await);
    let mut one = Host::over(Arc::new(recorder.clone())).await;
    one.add("a", &["r"]);
    for number in 0..3 {
        let emitted = one.hub.broadcast().to("r").emit("e", &number);
        soon("publish", emitted).await.expect("publish");
    }
    // These and its presence, which a task of its own publishes: the order of the two is unspecified.
    let received = soon("own messages", recorder.until_received(4)).await;
    let message = |incoming| match incoming {
        Incoming::Message(message) => message,
        other => panic!("not a message: {other:?}"),
    };
    let mut received: Vec<_> = received.into_iter().map(message).collect();
    // Accepted messages may be recorded later than received ones.
    let mut published = soon("acceptance", recorder.until_published(4)).await;
    received.sort();
    published.sort();
    assert_eq!(received, published, "the broker brings them back");
    let two = Host::start(backend, options).await;
    for number in 0..3 {
        one.expect("a", "e", &format!("[{number}]")).await;
    }
    one.settle(&two, "a").await;
    assert_eq!(one.hub.metrics().own, 3);
}

/// A message that cannot be decoded, or panics on its way to a client, is counted and skipped.
pub async fn malformed_messages_are_counted_and_the_stream_lives_on(backend: &dyn Backend) {
    let (one, mut two, options) = two_hosts(backend).await;
    two.add("x", &[]);
    let stranger = backend.manager(options).await;
    let nonsense: [&[u8]; 6] = [
        b"\x80\x04\x95pickle.",
        b"",
        b"{",
        b"[1]",
        b"{\"method\":\"dance\"}",
        b"\xff\xfe{}",
    ];
    for body in nonsense {
        let published = stranger.publish(Bytes::from_static(body));
        soon("publish", published).await.expect("publish");
    }
    let panics = Emitter::new(stranger);
    soon("publish", panics.emit(PANIC, &())).await.expect("publish");
    // The two publishers are not ordered with each other.
    let is_passed_over = || async {
        let metrics = two.hub.metrics();
        (metrics.undecodable, metrics.panics) == (6, 1)
    };
    eventually("all seven are counted", is_passed_over).await;
    two.settle(&one, "x").await;
    assert_eq!(two.hub.metrics().gaps, 0);
}

/// Clients enter and leave rooms, rooms are closed and clients disconnected, on every host and by command of every host.
pub async fn clients_and_rooms_are_managed_remotely(backend: &dyn Backend) {
    let (one, mut two, options) = two_hosts(backend).await;
    two.add("x", &["kept"]);
    two.add("y", &["closed"]);
    two.add("z", &[]);
    let emitter = Emitter::new(backend.manager(options).await);
    for (from, room) in [(one.hub.broadcast(), "by host"), (emitter.broadcast(), "by emitter")] {
        let entered = from.clone().enter_room("x", room);
        soon("enter", entered).await.expect("enter");
        soon("emit", from.clone().to(room).emit("e", &())).await.expect("emit");
        two.expect("x", "e", "[]").await;
        assert_eq!(two.rooms("x"), [room, "kept"].map(Room::from));
        soon("leave", from.clone().leave_room("x", room)).await.expect("leave");
        soon("emit", from.to("x").emit("e", &())).await.expect("emit");
        two.expect("x", "e", "[]").await;
        assert_eq!(two.rooms("x"), [Room::from("kept")]);
    }
    // A client of no host: the command has no effect.
    let unknown = one.hub.broadcast().enter_room("unknown", "r");
    soon("enter", unknown).await.expect("enter");
    soon("close", one.hub.broadcast().close_room("closed"))
        .await
        .expect("close");
    soon("disconnect", one.hub.broadcast().disconnect("y"))
        .await
        .expect("disconnect");
    two.settle(&one, "x").await;
    assert_eq!(two.rooms("y"), []);
    assert_eq!(two.rooms("x"), [Room::from("kept")]);
    assert_eq!(two.disconnected(), [Sid::from("y")]);
    soon("disconnect", emitter.disconnect("z")).await.expect("disconnect");
    // Messages of one publisher keep their order; those of two need not.
    soon("emit", emitter.to("x").emit("e", &())).await.expect("emit");
    two.expect("x", "e", "[]").await;
    assert_eq!(two.disconnected(), ["y", "z"].map(Sid::from));
    assert_eq!(
        two.hub.registry().num_clients(&NamespaceName::root()),
        3,
        "the server removes it"
    );
}
