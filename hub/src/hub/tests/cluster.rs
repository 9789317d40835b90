//! Requests to the whole cluster.

use futures_util::FutureExt;
use manager_api::wire::python;

use super::*;
use manager_api::cluster::{Gathered, RemoteSocket, ResponsePart, ServerEvent, ServerInfo};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);
/// The timeout where a server or client is known not to respond.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// Asserts that no request and no acknowledgement is pending on any host.
pub(super) fn assert_nothing_is_open(hosts: &[&Host]) {
    for host in hosts {
        let metrics = host.hub.metrics();
        assert_eq!((metrics.pending_acks, metrics.open_requests), (0, 0));
    }
}

fn found(gathered: &Gathered<Vec<RemoteSocket>>) -> Vec<(&str, Vec<&str>, &HostId)> {
    let mut found: Vec<_> = gathered
        .found
        .iter()
        .map(|socket| {
            let rooms = socket.rooms.iter().map(Room::as_str).collect();
            (socket.id.as_str(), rooms, &socket.server)
        })
        .collect();
    found.sort();
    found
}

/// Waits until `host` knows `count` other servers.
pub(super) async fn until_known(host: &Host, count: u64) {
    let known = async {
        while host.hub.metrics().servers != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let known = tokio::time::timeout(DEADLINE, known).await;
    known.unwrap_or_else(|_| panic!("{count} other servers are known: {:?}", host.hub.metrics()));
}

#[tokio::test(start_paused = true)]
async fn the_clients_of_a_room_are_found_on_every_server_by_servers_and_emitters() {
    let (bus, one, two) = two_hosts().await;
    for (host, sid) in [(&one, "a"), (&one, "b"), (&two, "c"), (&two, "d")] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, "r").await.unwrap();
    }
    two.hub.broadcast().enter_room("d", "muted").await.unwrap();
    let emitter = Emitter::new(bus.manager("c"));
    let hosts = (one.hub.host_id(), two.hub.host_id());
    for io in [one.hub.broadcast(), two.hub.broadcast(), emitter.broadcast()] {
        let selected = || io.clone().to_all(["r", "empty"]).skip("b").timeout(DEADLINE);
        let all = selected().fetch_sockets().await.unwrap();
        assert_eq!(
            found(&all),
            [
                ("a", vec!["a", "r"], hosts.0),
                ("c", vec!["c", "r"], hosts.1),
                ("d", vec!["d", "r", "muted"], hosts.1)
            ]
        );
        assert!(all.missing_servers.is_empty() && !all.is_truncated);
        let unmuted = selected().except("muted").count_sockets().await.unwrap();
        assert_eq!((unmuted.found, unmuted.missing_servers), (2, vec![]));
    }
    let local = one.hub.broadcast().local().count_sockets().await.unwrap();
    assert_eq!(local.found, 2);
    let mut servers = vec![hosts.0.clone(), hosts.1.clone()];
    servers.sort();
    let ids =
        |gathered: Gathered<Vec<ServerInfo>>| gathered.found.into_iter().map(|server| server.id).collect::<Vec<_>>();
    assert_eq!(ids(emitter.servers(DEADLINE).await.unwrap()), servers);
    assert_eq!(ids(one.hub.servers(DEADLINE).await.unwrap()), servers);
    assert_nothing_is_open(&[&one, &two]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_later_is_known_and_one_that_closes_is_not_waited_for() {
    let (bus, one, two) = two_hosts().await;
    until_known(&one, 1).await;
    let three = Host::start(bus.manager("c")).await;
    three.add("x");
    until_known(&one, 2).await;
    until_known(&three, 2).await;
    assert_eq!(
        one.hub
            .broadcast()
            .timeout(DEADLINE)
            .count_sockets()
            .await
            .unwrap()
            .found,
        1
    );
    three.hub.close().await.unwrap();
    until_known(&one, 1).await;
    until_known(&two, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_died_is_named_as_missing_and_then_waited_for_no_more() {
    let (bus, one, _two) = two_hosts().await;
    one.add("a");
    let (dead, running) = Host::start_with(bus.manager("c"), HubOptions::default()).await;
    until_known(&one, 2).await;
    running.abort();
    let count = one.hub.broadcast().timeout(SHORT).count_sockets().await.unwrap();
    assert_eq!(
        (count.found, count.missing_servers),
        (1, vec![dead.hub.host_id().clone()])
    );
    // No other server is expected to respond, so that this does not take the hour.
    let again = one.hub.broadcast().timeout(Duration::from_secs(3_600)).count_sockets();
    let again = tokio::time::timeout(DEADLINE, again).await.unwrap().unwrap();
    assert_eq!((again.found, again.missing_servers), (1, vec![]));
    // As if it had only been frozen.
    tokio::spawn(dead.hub.clone().run());
    until_known(&one, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_response_with_a_lost_part_leaves_its_server_missing() {
    let (bus, one, _two) = two_hosts().await;
    let stranger = bus.manager("c");
    let encoded = |message| {
        let host_id = Some("lossy".into());
        python::encode(&Envelope::new(host_id, message))
    };
    stranger.publish(encoded(Message::Present)).await.unwrap();
    until_known(&one, 2).await;
    let mut watching = stranger.subscribe().await.unwrap();
    let sockets = tokio::spawn(one.hub.broadcast().timeout(SHORT).fetch_sockets());
    let id = loop {
        let Some(Incoming::Message(message)) = watching.recv().await else {
            panic!("the request is published")
        };
        if let Ok(Message::Request(request)) = python::decode(&message).map(|envelope| envelope.message) {
            break request.id.unwrap();
        }
    };
    // The parts 0 and 2 of 3; and a response to an unknown request.
    for (id, number) in [(id, 0), (id, 2), (id + 7, 0)] {
        let response = manager_api::cluster::ClusterResponse {
            to: one.hub.host_id().clone(),
            id,
            part: ResponsePart::Sockets(Vec::new()),
            number,
            is_last: number == 2,
            is_truncated: false,
        };
        stranger.publish(encoded(Message::Response(response))).await.unwrap();
    }
    let missing = sockets.await.unwrap().unwrap().missing_servers;
    assert_eq!(missing, [HostId::from("lossy")]);
    assert_nothing_is_open(&[&one]);
}

#[tokio::test(start_paused = true)]
async fn many_clients_come_in_parts_and_not_more_than_the_limit() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        max_sockets: 1_000,
        presence_wait: Duration::from_millis(100),
        ..HubOptions::default()
    };
    let (one, _) = Host::start_with(bus.manager("c"), options.clone()).await;
    let (two, _) = Host::start_with(bus.manager("c"), options).await;
    for number in 0..600 {
        one.add(&format!("one {number}"));
    }
    for number in 0..400 {
        two.add(&format!("two {number}"));
    }
    until_known(&one, 1).await;
    let fetch = || one.hub.broadcast().timeout(DEADLINE).fetch_sockets();
    let all = fetch().await.unwrap();
    assert_eq!((all.found.len(), all.is_truncated), (1_000, false));
    two.add("one more");
    let most = fetch().await.unwrap();
    assert_eq!((most.found.len(), most.is_truncated), (1_000, true));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_entered_and_left_by_all_clients_of_a_room_and_all_are_disconnected_or_closed() {
    let (bus, mut one, mut two) = two_hosts().await;
    for (host, sid) in [(&one, "a"), (&one, "b"), (&two, "c"), (&two, "d")] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, "r").await.unwrap();
    }
    let emitter = Emitter::new(bus.manager("c"));
    one.hub
        .broadcast()
        .to("r")
        .skip("d")
        .sockets_join(["x", "y"])
        .await
        .unwrap();
    settle(&one, &mut two, "c").await;
    let rooms = |sid: &str| vec![Room::from(sid), "r".into(), "x".into(), "y".into()];
    assert_eq!((one.rooms("a"), two.rooms("c")), (rooms("a"), rooms("c")));
    assert_eq!(two.rooms("d"), [Room::from("d"), "r".into()]);

    emitter.to("x").except("empty").sockets_leave(["x", "r"]).await.unwrap();
    one.hub.broadcast().to("y").local().sockets_leave(["y"]).await.unwrap();
    emitter.to("c").emit("settle", &()).await.unwrap();
    two.expect("c", "settle []").await;
    emitter.to("a").emit("settle", &()).await.unwrap();
    one.expect("a", "settle []").await;
    assert_eq!(one.rooms("a"), [Room::from("a")]);
    assert_eq!(
        two.rooms("c"),
        [Room::from("c"), "y".into()],
        "the other was for one server alone"
    );

    two.hub
        .broadcast()
        .to_all(["a", "c"])
        .disconnect_sockets()
        .await
        .unwrap();
    settle(&two, &mut one, "b").await;
    assert_eq!(*one.hub.deliver().disconnected.lock().unwrap(), [Sid::from("a")]);
    assert_eq!(*two.hub.deliver().disconnected.lock().unwrap(), [Sid::from("c")]);

    two.hub.broadcast().to("b").close_connections().await.unwrap();
    settle(&two, &mut one, "b").await;
    assert_eq!(*one.hub.deliver().closed.lock().unwrap(), [Sid::from("b")]);
    assert!(two.hub.deliver().closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_for_servers_reach_the_others_and_their_responses_return() {
    let (bus, one, two) = two_hosts().await;
    let three = Host::start(bus.manager("c")).await;
    until_known(&one, 2).await;
    let (handled, mut handles) = mpsc::unbounded_channel();
    for (name, host) in [("one", &one), ("two", &two)] {
        let handled = handled.clone();
        let handler = move |event: ServerEvent| {
            let handled = handled.clone();
            async move {
                handled
                    .send((name, event.from.clone(), event.expects_response))
                    .unwrap();
                assert_ne!(event.payload.json(), "[\"panic\"]", "requested by the test");
                Some(Payload::new(&(name, event.parse::<Bytes>().unwrap())).unwrap())
            }
            .boxed()
        };
        host.hub
            .on_server_event(EventName::new("hey").unwrap(), Arc::new(handler));
    }
    let data = Bytes::from_static(b"\x00\xff");
    let responses = one.hub.server_side_call("hey", &data, DEADLINE).await.unwrap();
    let of = |host: &Host| {
        let mut responses = responses.found.iter();
        let response = responses.find(|response| response.server == *host.hub.host_id());
        response.map(|response| response.payload.clone())
    };
    assert_eq!(of(&two), Some(Some(Payload::new(&("two", data)).unwrap())));
    assert_eq!(of(&three), Some(None), "it has no handler");
    assert_eq!(of(&one), None, "events are for the other servers");
    assert_eq!(handles.recv().await.unwrap(), ("two", one.hub.host_id().clone(), true));

    two.hub.server_side_emit("hey", &Bytes::new()).await.unwrap();
    assert_eq!(handles.recv().await.unwrap(), ("one", two.hub.host_id().clone(), false));
    let emitter = Emitter::new(bus.manager("c"));
    emitter.server_side_emit("hey", &Bytes::new()).await.unwrap();
    let both = [handles.recv().await.unwrap().0, handles.recv().await.unwrap().0];
    assert!(both.contains(&"one") && both.contains(&"two"), "{both:?}");

    let panicked = one.hub.server_side_call("hey", "panic", SHORT).await.unwrap();
    assert_eq!(panicked.missing_servers, [two.hub.host_id().clone()]);
    assert_eq!(two.hub.metrics().panics, 1);
    assert_nothing_is_open(&[&one, &two, &three]);
    let refused = one.hub.server_side_emit("connect", &()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn a_request_too_many_is_refused_and_one_that_is_dropped_is_closed() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        max_requests: 2,
        presence_wait: Duration::ZERO,
        ..HubOptions::default()
    };
    let (one, _) = Host::start_with(bus.manager("c"), options).await;
    // A server that is known, and does not respond.
    let silent = python::encode(&Envelope {
        host_id: Some("silent".into()),
        message: Message::Present,
        mark: None,
    });
    bus.manager("c").publish(silent).await.unwrap();
    until_known(&one, 1).await;
    let count = || tokio::spawn(one.hub.broadcast().timeout(DEADLINE).count_sockets());
    let open = [count(), count()];
    while one.hub.metrics().open_requests < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count().await.unwrap().unwrap_err().kind(), ErrorKind::Busy);
    for request in open {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    assert_nothing_is_open(&[&one]);
}

#[tokio::test(start_paused = true)]
async fn the_table_of_servers_is_bounded_for_any_number_of_claims() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        max_servers: 10,
        ..HubOptions::default()
    };
    let (one, _) = Host::start_with(bus.manager("c"), options).await;
    let manager = bus.manager("c");
    for number in 0..100 {
        let message = python::encode(&Envelope {
            host_id: Some(format!("host {number}").as_str().into()),
            message: Message::Present,
            mark: None,
        });
        manager.publish(message).await.unwrap();
    }
    until_known(&one, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_without_a_manager_responds_for_itself() {
    let recorder = Recorder {
        disconnected: Mutex::default(),
        closed: Mutex::default(),
        panics_at: "",
    };
    let hub = Hub::new(recorder, None, HubOptions::default());
    let sockets = hub.broadcast().fetch_sockets().await.unwrap();
    assert_eq!((sockets.found.len(), sockets.missing_servers.len()), (0, 0));
    let servers = hub.servers(DEADLINE).await.unwrap().found;
    assert_eq!((servers.len(), &servers[0].id), (1, hub.host_id()));
    assert!(hub.server_side_call("e", &(), DEADLINE).await.unwrap().found.is_empty());
    assert!(hub.broadcast().emit_and_collect("q", &()).await.unwrap().is_complete());
    hub.close().await.unwrap();
}
