//! Reports of servers about themselves, their rooms, and the delivery of an event.

use super::cluster::{DEADLINE, SHORT, assert_nothing_is_open, until_known};
use super::*;
use manager_api::cluster::{Receipt, RoomInfo};
use manager_api::wire::python;

fn counts(receipt: &Receipt) -> Vec<(&HostId, u64)> {
    let counts = receipt.servers.iter().map(|server| (&server.server, server.clients));
    counts.collect()
}

/// The two hosts and counts in the order of the ids, as receipts have them.
fn by_id<'a>(one: (&'a Host, u64), two: (&'a Host, u64)) -> Vec<(&'a HostId, u64)> {
    let mut counts = vec![(one.0.hub.host_id(), one.1), (two.0.hub.host_id(), two.1)];
    counts.sort();
    counts
}

#[tokio::test(start_paused = true)]
async fn a_receipt_counts_the_clients_of_every_server_that_an_event_was_handed_to() {
    let (bus, mut one, mut two) = two_hosts().await;
    for (host, sid) in [(&one, "a"), (&one, "b"), (&two, "c"), (&two, "d"), (&two, REFUSES)] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, "r").await.unwrap();
    }
    two.add("outside");
    let emitter = Emitter::new(bus.manager("c"));
    for io in [one.hub.broadcast(), two.hub.broadcast(), emitter.broadcast()] {
        let io = io.to("r").skip("d").timeout(DEADLINE);
        let receipt = io.emit_with_receipt("e", &1).await.unwrap();
        assert_eq!(
            (counts(&receipt), receipt.num_clients()),
            (by_id((&one, 2), (&two, 1)), 3)
        );
        assert!(receipt.missing_servers.is_empty());
        let mut got = [one.next().await.0, one.next().await.0];
        got.sort();
        assert_eq!(got.each_ref().map(Sid::as_str), ["a", "b"]);
        two.expect("c", "e [1]").await;
    }
    settle(&one, &mut two, "outside").await;
    assert_nothing_is_open(&[&one, &two]);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_of_an_event_for_an_empty_room_says_which_servers_had_no_client() {
    let (bus, one, two) = two_hosts().await;
    one.add("a");
    let emitter = Emitter::new(bus.manager("c"));
    let receipt = emitter
        .to("nowhere")
        .timeout(DEADLINE)
        .emit_with_receipt("e", &())
        .await;
    assert_eq!(counts(&receipt.unwrap()), by_id((&one, 0), (&two, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_died_is_missing_in_the_receipt() {
    let (bus, mut one, _two) = two_hosts().await;
    one.add("a");
    let (dead, running) = Host::start_with(bus.manager("c"), HubOptions::default()).await;
    until_known(&one, 2).await;
    running.abort();
    let receipt = one
        .hub
        .broadcast()
        .timeout(SHORT)
        .emit_with_receipt("e", &())
        .await
        .unwrap();
    assert_eq!(receipt.missing_servers, [dead.hub.host_id().clone()]);
    assert_eq!((receipt.servers.len(), receipt.num_clients()), (2, 1));
    one.expect("a", "e []").await;
}

#[tokio::test(start_paused = true)]
async fn a_local_receipt_counts_this_server_alone() {
    let (bus, one, two) = two_hosts().await;
    one.add("a");
    two.add("c");
    let receipt = one.hub.broadcast().local().emit_with_receipt("e", &()).await.unwrap();
    assert_eq!(counts(&receipt), [(one.hub.host_id(), 1)]);
    let emitter = Emitter::new(bus.manager("c"));
    let receipt = emitter.broadcast().local().emit_with_receipt("e", &()).await.unwrap();
    assert_eq!(receipt, Receipt::default());
}

#[tokio::test(start_paused = true)]
async fn servers_report_their_clients_gaps_and_times() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        host_name: Some("machine-1".into()),
        ..HubOptions::default()
    };
    let (host, _running) = Host::start_with(bus.manager("c"), options).await;
    host.add("a");
    Counters::add(&host.hub.counters.gaps);
    tokio::time::sleep(Duration::from_secs(90)).await;
    let emitter = Emitter::new(bus.manager("c"));
    let servers = emitter.servers(DEADLINE).await.unwrap().found;
    let [server] = &servers[..] else { panic!("{servers:?}") };
    let status = &server.status;
    assert_eq!((&server.id, &*status.host_name), (host.hub.host_id(), "machine-1"));
    assert_eq!(status.software, concat!("sio/", env!("CARGO_PKG_VERSION")));
    assert_eq!((status.clients, status.gaps), (1, 1));
    assert!(status.uptime >= Duration::from_secs(90), "{status:?}");
    assert!(status.listening_for.is_some(), "{status:?}");
    let skew = SystemTime::now().duration_since(status.clock);
    assert!(skew.expect("the same clock, later") < Duration::from_secs(60));
}

fn names(rooms: &[RoomInfo]) -> Vec<(&str, u64)> {
    rooms.iter().map(|room| (room.room.as_str(), room.clients)).collect()
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_with_their_members_on_all_servers() {
    let (bus, one, two) = two_hosts().await;
    for (host, sid, room) in [
        (&one, "a", "job:1"),
        (&two, "c", "job:1"),
        (&two, "d", "job:2"),
        (&two, "e", "other"),
    ] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, room).await.unwrap();
    }
    let emitter = Emitter::new(bus.manager("c"));
    let rooms = emitter.rooms("/", "job:", DEADLINE).await.unwrap();
    assert_eq!(names(&rooms.found), [("job:1", 2), ("job:2", 1)]);
    assert!(rooms.missing_servers.is_empty() && !rooms.is_truncated);
    assert_eq!(rooms.num_servers, 2);
    let rooms = one.hub.rooms(NamespaceName::root(), "", DEADLINE).await.unwrap();
    assert_eq!(names(&rooms.found), [("job:1", 2), ("job:2", 1), ("other", 1)]);
    assert_eq!(rooms.num_servers, 2);
    let rooms = emitter.rooms("/elsewhere", "", DEADLINE).await.unwrap();
    assert_eq!(names(&rooms.found), []);
    assert!(emitter.rooms("no,name", "", DEADLINE).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn more_rooms_than_the_limit_are_cut_and_the_list_says_so() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        max_sockets: 10,
        ..HubOptions::default()
    };
    let (host, _running) = Host::start_with(bus.manager("c"), options).await;
    host.add("a");
    for number in 0..11 {
        let room = format!("r{number}");
        host.hub.broadcast().enter_room("a", room).await.unwrap();
    }
    let emitter = Emitter::new(bus.manager("c"));
    let rooms = emitter.rooms("/", "", DEADLINE).await.unwrap();
    assert_eq!((rooms.found.len(), rooms.is_truncated), (10, true));
    let rooms = emitter.rooms("/", "r1", DEADLINE).await.unwrap();
    assert_eq!(
        (names(&rooms.found), rooms.is_truncated),
        (vec![("r1", 1), ("r10", 1)], false)
    );
}

/// Publishes a forged response of `server` to the open request of `host`.
async fn forge(bus: &MemoryBus, host: &Host, server: &str, part: manager_api::cluster::ResponsePart) {
    let response = manager_api::cluster::ClusterResponse {
        to: host.hub.host_id().clone(),
        id: 1,
        part,
        number: 0,
        is_last: true,
        is_truncated: false,
    };
    let message = python::encode(&Envelope {
        host_id: Some(server.into()),
        message: Message::Response(response),
        mark: None,
    });
    bus.manager("c").publish(message).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_responds_again_and_servers_beyond_the_limit_do_not_count() {
    let (bus, one, _two) = two_hosts().await;
    until_known(&one, 1).await;
    let (silent, running) = Host::start_with(bus.manager("c"), HubOptions::default()).await;
    until_known(&one, 2).await;
    running.abort();
    let hub = one.hub.clone();
    let request = tokio::spawn(async move { hub.broadcast().timeout(DEADLINE).count_sockets().await });
    while one.hub.metrics().open_requests == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..3 {
        forge(&bus, &one, "again", manager_api::cluster::ResponsePart::Count(5)).await;
    }
    for number in 0..1_100 {
        forge(
            &bus,
            &one,
            &format!("s{number}"),
            manager_api::cluster::ResponsePart::Count(0),
        )
        .await;
    }
    let count = request.await.unwrap().unwrap();
    assert_eq!(count.found, 5);
    // The limit of servers, and this one.
    assert_eq!(count.num_servers, HubOptions::default().max_servers - 1 + 1);
    assert!(count.is_truncated, "the caller learns that servers are left out");
    assert_eq!(count.missing_servers, [silent.hub.host_id().clone()]);
}

#[tokio::test(start_paused = true)]
async fn a_short_request_of_an_emitter_leaves_time_for_the_responses() {
    let (bus, one, _two) = two_hosts().await;
    one.add("a");
    let emitter = Emitter::new(bus.manager("c"));
    let count = emitter.broadcast().timeout(Duration::from_millis(500)).count_sockets();
    let count = count.await.unwrap();
    assert_eq!((count.found, count.num_servers), (1, 2));
}
