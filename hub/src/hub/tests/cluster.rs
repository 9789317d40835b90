//! Questions about the whole cluster.

use futures_util::FutureExt;

use super::*;
use manager_api::cluster::{Gathered, RemoteSocket, ResponsePart, ServerEvent};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);
/// How long those are waited for that are known not to answer.
pub(super) const SHORT: Duration = Duration::from_millis(300);

/// Everything asked and awaited is over on every host.
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
        let ask = || io.clone().to_all(["r", "nobody"]).skip("b").timeout(DEADLINE);
        let all = ask().fetch_sockets().await.unwrap();
        assert_eq!(
            found(&all),
            [
                ("a", vec!["a", "r"], hosts.0),
                ("c", vec!["c", "r"], hosts.1),
                ("d", vec!["d", "r", "muted"], hosts.1)
            ]
        );
        assert!(all.missing_servers.is_empty() && !all.is_truncated);
        let unmuted = ask().except("muted").count_sockets().await.unwrap();
        assert_eq!((unmuted.found, unmuted.missing_servers), (2, vec![]));
    }
    let here = one.hub.broadcast().local().count_sockets().await.unwrap();
    assert_eq!(here.found, 2);
    let mut servers = vec![hosts.0.clone(), hosts.1.clone()];
    servers.sort();
    assert_eq!(emitter.servers(DEADLINE).await.unwrap().found, servers);
    assert_eq!(one.hub.servers(DEADLINE).await.unwrap().found, servers);
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
    // Nobody is left to wait for, so that this does not last the hour.
    let again = one.hub.broadcast().timeout(Duration::from_secs(3_600)).count_sockets();
    let again = tokio::time::timeout(DEADLINE, again).await.unwrap().unwrap();
    assert_eq!((again.found, again.missing_servers), (1, vec![]));
    // It was frozen, it seems.
    tokio::spawn(dead.hub.clone().run());
    until_known(&one, 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_which_a_part_is_lost_leaves_its_server_missing() {
    let (bus, one, _two) = two_hosts().await;
    let stranger = bus.manager("c");
    let say = |message| {
        let host_id = Some("lossy".into());
        wire::encode(&Envelope { host_id, message })
    };
    stranger.publish(say(Message::Here)).await.unwrap();
    until_known(&one, 2).await;
    let mut watching = stranger.subscribe().await.unwrap();
    let question = tokio::spawn(one.hub.broadcast().timeout(SHORT).fetch_sockets());
    let id = loop {
        let Some(Incoming::Message(message)) = watching.recv().await else {
            panic!("the question passes")
        };
        if let Ok(Message::Request(question)) = wire::decode(&message).map(|envelope| envelope.message) {
            break question.id.unwrap();
        }
    };
    // The parts 0 and 2 of 3; and an answer to nothing.
    for (id, number) in [(id, 0), (id, 2), (id + 7, 0)] {
        let reply = manager_api::cluster::ClusterResponse {
            to: one.hub.host_id().clone(),
            id,
            part: ResponsePart::Sockets(Vec::new()),
            number,
            is_last: number == 2,
            is_truncated: false,
        };
        stranger.publish(say(Message::Response(reply))).await.unwrap();
    }
    assert_eq!(
        question.await.unwrap().unwrap().missing_servers,
        [HostId::from("lossy")]
    );
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
    let ask = || one.hub.broadcast().timeout(DEADLINE).fetch_sockets();
    let all = ask().await.unwrap();
    assert_eq!((all.found.len(), all.is_truncated), (1_000, false));
    two.add("one more");
    let most = ask().await.unwrap();
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

    emitter
        .to("x")
        .except("nobody")
        .sockets_leave(["x", "r"])
        .await
        .unwrap();
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
async fn events_for_servers_reach_the_others_and_their_answers_come_back() {
    let (bus, one, two) = two_hosts().await;
    let three = Host::start(bus.manager("c")).await;
    until_known(&one, 2).await;
    let (heard, mut hears) = mpsc::unbounded_channel();
    for (name, host) in [("one", &one), ("two", &two)] {
        let heard = heard.clone();
        let handler = move |event: ServerEvent| {
            let heard = heard.clone();
            async move {
                heard.send((name, event.from.clone(), event.is_asked)).unwrap();
                assert_ne!(event.payload.json(), "[\"panic\"]", "as told");
                Some(Payload::new(&(name, event.parse::<Bytes>().unwrap())).unwrap())
            }
            .boxed()
        };
        host.hub
            .on_server_event(EventName::new("hey").unwrap(), Arc::new(handler));
    }
    let data = Bytes::from_static(b"\x00\xff");
    let answers = one.hub.server_side_call("hey", &data, DEADLINE).await.unwrap();
    let of = |host: &Host| {
        let answer = answers.found.iter().find(|answer| answer.server == *host.hub.host_id());
        answer.map(|answer| answer.payload.clone())
    };
    assert_eq!(of(&two), Some(Some(Payload::new(&("two", data)).unwrap())));
    assert_eq!(of(&three), Some(None), "it has no handler");
    assert_eq!(of(&one), None, "events are for the others");
    assert_eq!(hears.recv().await.unwrap(), ("two", one.hub.host_id().clone(), true));

    two.hub.server_side_emit("hey", &Bytes::new()).await.unwrap();
    assert_eq!(hears.recv().await.unwrap(), ("one", two.hub.host_id().clone(), false));
    let emitter = Emitter::new(bus.manager("c"));
    emitter.server_side_emit("hey", &Bytes::new()).await.unwrap();
    let both = [hears.recv().await.unwrap().0, hears.recv().await.unwrap().0];
    assert!(both.contains(&"one") && both.contains(&"two"), "{both:?}");

    let panicked = one.hub.server_side_call("hey", "panic", SHORT).await.unwrap();
    assert_eq!(panicked.missing_servers, [two.hub.host_id().clone()]);
    assert_eq!(two.hub.metrics().panics, 1);
    assert_nothing_is_open(&[&one, &two, &three]);
    let refused = one.hub.server_side_emit("connect", &()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn a_question_too_many_is_refused_and_one_that_is_dropped_leaves_room() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        max_requests: 2,
        presence_wait: Duration::ZERO,
        ..HubOptions::default()
    };
    let (one, _) = Host::start_with(bus.manager("c"), options).await;
    // It is known, and will not answer.
    let silent = wire::encode(&Envelope {
        host_id: Some("silent".into()),
        message: Message::Here,
    });
    bus.manager("c").publish(silent).await.unwrap();
    until_known(&one, 1).await;
    let ask = || tokio::spawn(one.hub.broadcast().timeout(DEADLINE).count_sockets());
    let open = [ask(), ask()];
    while one.hub.metrics().open_requests < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask().await.unwrap().unwrap_err().kind(), ErrorKind::Busy);
    for question in open {
        question.abort();
        assert!(question.await.unwrap_err().is_cancelled());
    }
    assert_nothing_is_open(&[&one]);
}

#[tokio::test(start_paused = true)]
async fn the_table_of_servers_stays_finite_whoever_claims_to_be_one() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        max_servers: 10,
        ..HubOptions::default()
    };
    let (one, _) = Host::start_with(bus.manager("c"), options).await;
    let manager = bus.manager("c");
    for number in 0..100 {
        let message = wire::encode(&Envelope {
            host_id: Some(format!("host {number}").as_str().into()),
            message: Message::Here,
        });
        manager.publish(message).await.unwrap();
    }
    until_known(&one, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_without_a_manager_answers_for_itself() {
    let recorder = Recorder {
        disconnected: Mutex::default(),
        closed: Mutex::default(),
        panics_at: "",
    };
    let hub = Hub::new(recorder, None, HubOptions::default());
    let sockets = hub.broadcast().fetch_sockets().await.unwrap();
    assert_eq!((sockets.found.len(), sockets.missing_servers.len()), (0, 0));
    assert_eq!(hub.servers(DEADLINE).await.unwrap().found, [hub.host_id().clone()]);
    assert!(hub.server_side_call("e", &(), DEADLINE).await.unwrap().found.is_empty());
    assert!(hub.broadcast().emit_and_collect("q", &()).await.unwrap().is_complete());
    hub.close().await.unwrap();
}
