//! Local events and commands, and the same arguments on every server.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_local_emit_stays_on_this_server() {
    let (_bus, mut one, mut two) = two_hosts().await;
    for (host, sid) in [(&one, "a"), (&two, "c")] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, "r").await.unwrap();
    }
    let local = || one.hub.broadcast().local();
    local().emit("e", &1).await.unwrap();
    local().to("r").emit("e", &2).await.unwrap();
    local().to("c").emit("e", &3).await.unwrap();
    let mut acks = local().emit_with_ack("e", &4).await.unwrap();
    for number in [1, 2, 4] {
        one.expect("a", &format!("e [{number}]")).await;
    }
    settle(&one, &mut two, "c").await;
    // No other client can acknowledge.
    let key = one
        .hub
        .registry()
        .recipients(&NamespaceName::root(), &Target::Everyone, &[], &[]);
    one.hub
        .remove(&NamespaceName::root(), &"a".into(), key.iter().next().unwrap().key);
    let ended = tokio::time::timeout(Duration::from_secs(5), acks.next());
    assert!(ended.await.expect("ends at once").is_none());
}

#[tokio::test(start_paused = true)]
async fn local_commands_change_nothing_on_other_servers() {
    let (bus, one, mut two) = two_hosts().await;
    for (host, sid) in [(&one, "a"), (&two, "c")] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, "r").await.unwrap();
    }
    let emitter = Emitter::new(bus.manager("c"));
    for io in [one.hub.broadcast(), emitter.broadcast()] {
        let local = || io.clone().local();
        local().enter_room("c", "s").await.unwrap();
        local().leave_room("c", "r").await.unwrap();
        local().close_room("r").await.unwrap();
        local().disconnect("c").await.unwrap();
        local().sockets_join(["s"]).await.unwrap();
        local().disconnect_sockets().await.unwrap();
    }
    // Messages of an emitter, and of a server, arrive in order.
    emitter.to("c").emit("settle", &()).await.unwrap();
    two.expect("c", "settle []").await;
    settle(&one, &mut two, "c").await;
    assert_eq!(two.rooms("c"), [Room::from("c"), "r".into()]);
    assert!(two.hub.deliver().disconnected.lock().unwrap().is_empty());
    assert_eq!(
        one.rooms("a"),
        [Room::from("a"), "s".into()],
        "locally they take effect"
    );
    assert_eq!(*one.hub.deliver().disconnected.lock().unwrap(), [Sid::from("a")]);
}

#[tokio::test(start_paused = true)]
async fn a_lone_null_is_an_argument_on_every_server() {
    let (bus, mut one, mut two) = two_hosts().await;
    let key = two.add("c");
    one.add("a");
    let emitter = Emitter::new(bus.manager("c"));
    for io in [one.hub.broadcast(), two.hub.broadcast(), emitter.broadcast()] {
        io.emit("e", &None::<()>).await.unwrap();
        one.expect("a", "e [null]").await;
        two.expect("c", "e [null]").await;
    }
    let null = Payload::new(&None::<()>).unwrap();
    let acks = one.hub.broadcast().to("c").emit_with_ack("q", &()).await.unwrap();
    let (sid, _, id) = two.next().await;
    two.hub.acknowledge(key, &sid, id.unwrap(), null.clone());
    let ack = acks.count(1).all().await.unwrap().remove(0);
    assert_eq!(ack.payload, null);
    let echo: ServerEventHandler = Arc::new(|event| Box::pin(async move { Some(event.payload) }));
    two.hub.on_server_event(EventName::new("echo").unwrap(), echo);
    let called = one.hub.server_side_call("echo", &None::<()>, Duration::from_secs(20));
    assert_eq!(called.await.unwrap().found[0].payload, Some(null));
}

#[tokio::test(start_paused = true)]
async fn a_lone_null_of_a_python_server_is_not_an_argument() {
    let (bus, mut one, _two) = two_hosts().await;
    one.add("a");
    let body = br#"{"method": "emit", "event": "e", "data": [null], "host_id": "python"}"#;
    bus.manager("c").publish(Bytes::from_static(body)).await.unwrap();
    one.expect("a", "e []").await;
}

#[tokio::test(start_paused = true)]
async fn an_event_without_recipients_ends_at_once_for_any_count() {
    let recorder = Recorder {
        disconnected: Mutex::default(),
        closed: Mutex::default(),
        panics_at: "",
    };
    let hub = Hub::new(recorder, None, HubOptions::default());
    let emitter = Emitter::new(MemoryBus::new().manager("c"));
    for io in [hub.broadcast().to("gone"), emitter.to("c").local()] {
        let mut acks = io
            .timeout(Duration::from_secs(60))
            .emit_with_ack("q", &())
            .await
            .unwrap()
            .count(1);
        let ended = tokio::time::timeout(Duration::from_secs(5), acks.next());
        assert!(ended.await.expect("ends at once").is_none());
        assert!(!acks.timed_out());
    }
}
