//! Events that every recipient is to acknowledge.

use super::cluster::{DEADLINE, SHORT, assert_nothing_is_open, until_known};
use super::*;

/// Acknowledges the next event as the client `sid`.
async fn acknowledge(host: &mut Host, key: ClientKey, sid: &str) {
    let (recipient, _, id) = host.next().await;
    assert_eq!(recipient.as_str(), sid);
    let payload = Payload::new(&format!("from {sid}")).unwrap();
    host.hub.acknowledge(key, &sid.into(), id.unwrap(), payload);
}

#[tokio::test(start_paused = true)]
async fn collecting_ends_when_all_have_acknowledged_and_names_those_missing() {
    let (_bus, mut one, mut two) = two_hosts().await;
    until_known(&one, 1).await;
    let (a, c) = (one.add("a"), two.add("c"));
    let collect = |one: &Host, timeout| tokio::spawn(one.hub.broadcast().timeout(timeout).emit_and_collect("q", &()));

    let all = collect(&one, Duration::from_secs(3_600));
    acknowledge(&mut one, a, "a").await;
    acknowledge(&mut two, c, "c").await;
    let report = tokio::time::timeout(DEADLINE, all).await.unwrap().unwrap().unwrap();
    assert!(report.is_complete(), "{report:?}");
    let mut clients: Vec<_> = report.acks.into_iter().map(|ack| ack.client.unwrap()).collect();
    clients.sort();
    assert_eq!(clients, [Sid::from("a"), "c".into()]);

    // Clients that leave are not waited for, wherever they are.
    let left = collect(&one, Duration::from_secs(3_600));
    one.next().await;
    two.next().await;
    one.hub.remove(&NamespaceName::root(), &"a".into(), a);
    two.hub.remove(&NamespaceName::root(), &"c".into(), c);
    let report = tokio::time::timeout(DEADLINE, left).await.unwrap().unwrap().unwrap();
    assert_eq!(report.missing_clients, [Sid::from("a"), "c".into()]);
    assert!(report.missing_servers.is_empty());

    // A client that does not acknowledge is waited for until the deadline.
    let d = two.add("d");
    two.add("e");
    let silent = collect(&one, SHORT);
    let (first, _, id) = two.next().await;
    assert_eq!(first, Sid::from("d"));
    two.hub.acknowledge(d, &first, id.unwrap(), Payload::empty());
    let report = silent.await.unwrap().unwrap();
    assert_eq!(report.missing_clients, [Sid::from("e")]);
    assert_eq!(report.acks.len(), 1);
    assert!(!report.is_complete());
    assert_nothing_is_open(&[&one]);
}

#[tokio::test(start_paused = true)]
async fn collecting_names_a_server_that_died_and_an_emitter_collects_too() {
    let (bus, one, mut two) = two_hosts().await;
    let c = two.add("c");
    let (dead, running) = Host::start_with(bus.manager("c"), HubOptions::default()).await;
    until_known(&one, 2).await;
    let emitter = Emitter::new(bus.manager("c"));
    emitter.servers(DEADLINE).await.unwrap();
    running.abort();
    let report = tokio::spawn(emitter.broadcast().timeout(SHORT).emit_and_collect("q", &()));
    acknowledge(&mut two, c, "c").await;
    let report = report.await.unwrap().unwrap();
    assert_eq!(report.missing_servers, [dead.hub.host_id().clone()]);
    assert_eq!((report.acks.len(), report.missing_clients.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn collecting_reports_a_failure_to_publish_and_local_acknowledgements() {
    let bus = MemoryBus::new();
    let options = manager_api::ManagerOptions {
        deadline: Duration::from_millis(50),
        ..Default::default()
    };
    let mut one = Host::start(bus.manager_with(options)).await;
    let key = one.add("a");
    one.hub.servers(DEADLINE).await.unwrap();
    bus.stop();
    let report = tokio::spawn(one.hub.broadcast().timeout(DEADLINE).emit_and_collect("q", &()));
    acknowledge(&mut one, key, "a").await;
    let report = report.await.unwrap().unwrap();
    assert!(report.failure.as_ref().is_some_and(Error::is_retryable), "{report:?}");
    assert_eq!(report.acks.len(), 1);
}

/// Starts a host that knows of no other server, and whose manager has the deadline `deadline`.
async fn alone(bus: &MemoryBus, deadline: Duration) -> Host {
    let options = manager_api::ManagerOptions {
        channel: "c".to_owned(),
        deadline,
        ..Default::default()
    };
    let host = Host::start(bus.manager_with(options)).await;
    host.hub.servers(DEADLINE).await.unwrap();
    host
}

#[tokio::test(start_paused = true)]
async fn collecting_reports_a_failure_to_publish_where_no_other_server_is_known() {
    let bus = MemoryBus::new();
    let one = alone(&bus, Duration::from_millis(50)).await;
    bus.stop();
    let report = one.hub.broadcast().timeout(DEADLINE).emit_and_collect("q", &()).await;
    let report = report.unwrap();
    assert!(report.failure.as_ref().is_some_and(Error::is_retryable), "{report:?}");
    assert!(!report.is_complete());
}

#[tokio::test(start_paused = true)]
async fn an_emitter_reports_a_failure_to_publish_where_no_server_is_known() {
    let bus = MemoryBus::new();
    let options = manager_api::ManagerOptions {
        deadline: Duration::from_millis(50),
        ..Default::default()
    };
    let emitter = Emitter::new(bus.manager_with(options));
    emitter.servers(DEADLINE).await.unwrap();
    bus.stop();
    let report = emitter.broadcast().timeout(DEADLINE).emit_and_collect("q", &()).await;
    let report = report.unwrap();
    assert!(report.failure.is_some() && !report.is_complete(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_received_during_a_slow_publish_are_not_lost() {
    let bus = MemoryBus::new();
    let mut one = alone(&bus, Duration::from_secs(2)).await;
    let key = one.add("a");
    bus.stop();
    // The deadline passes before the event is known not to be published.
    let report = tokio::spawn(one.hub.broadcast().timeout(SHORT).emit_and_collect("q", &()));
    acknowledge(&mut one, key, "a").await;
    let report = report.await.unwrap().unwrap();
    assert_eq!((report.acks.len(), report.missing_clients.len()), (1, 0), "{report:?}");
    assert!(report.failure.as_ref().is_some_and(Error::is_retryable), "{report:?}");
}
