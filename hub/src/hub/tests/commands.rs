//! Commands about clients, and when they take effect.

use futures_util::FutureExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_command_that_is_not_awaited_does_nothing() {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    one.add("a");
    one.hub.broadcast().enter_room("a", "r").await.unwrap();
    let io = || one.hub.broadcast();
    drop(io().enter_room("a", "s"));
    drop(io().leave_room("a", "r"));
    drop(io().close_room("r"));
    drop(io().disconnect("a"));
    drop(io().sockets_join(["s"]));
    drop(io().sockets_leave(["r"]));
    drop(io().disconnect_sockets());
    drop(io().close_connections());
    assert_eq!(one.rooms("a"), [Room::from("a"), "r".into()]);
    assert!(one.hub.deliver().disconnected.lock().unwrap().is_empty());
    assert!(one.hub.deliver().closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_command_about_many_clients_lets_others_run() {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    for number in 0..10_000 {
        one.add(&format!("{number}"));
    }
    let io = || one.hub.broadcast().local();
    for command in [
        io().sockets_join(["r"]),
        io().close_room("r"),
        io().disconnect_sockets(),
    ] {
        let mut command = std::pin::pin!(command);
        assert!(command.as_mut().now_or_never().is_none(), "it yields");
        command.await.unwrap();
    }
    assert_eq!(one.rooms("0"), [Room::from("0")]);
    assert_eq!(one.hub.deliver().disconnected.lock().unwrap().len(), 10_000);
}
