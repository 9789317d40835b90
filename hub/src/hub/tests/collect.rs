//! Events that everybody is to acknowledge.

use super::cluster::{DEADLINE, SHORT, assert_nothing_is_open, until_known};
use super::*;

/// Answers for `sid` what it was asked last.
async fn answer(host: &mut Host, key: ClientKey, sid: &str) {
    let (asked, _, id) = host.next().await;
    assert_eq!(asked.as_str(), sid);
    let payload = Payload::new(&format!("from {sid}")).unwrap();
    host.hub.acknowledge(key, &sid.into(), id.unwrap(), payload);
}

#[tokio::test(start_paused = true)]
async fn collecting_ends_when_all_have_answered_and_names_who_has_not() {
    let (_bus, mut one, mut two) = two_hosts().await;
    until_known(&one, 1).await;
    let (a, c) = (one.add("a"), two.add("c"));
    let ask = |one: &Host, timeout| tokio::spawn(one.hub.broadcast().timeout(timeout).emit_and_collect("q", &()));

    let all = ask(&one, Duration::from_secs(3_600));
    answer(&mut one, a, "a").await;
    answer(&mut two, c, "c").await;
    let report = tokio::time::timeout(DEADLINE, all).await.unwrap().unwrap().unwrap();
    assert!(report.is_complete(), "{report:?}");
    let mut who: Vec<_> = report.acks.into_iter().map(|answer| answer.client.unwrap()).collect();
    who.sort();
    assert_eq!(who, [Sid::from("a"), "c".into()]);

    // Clients that leave are not waited for, wherever they are.
    let left = ask(&one, Duration::from_secs(3_600));
    one.next().await;
    two.next().await;
    one.hub.remove(&NamespaceName::root(), &"a".into(), a);
    two.hub.remove(&NamespaceName::root(), &"c".into(), c);
    let report = tokio::time::timeout(DEADLINE, left).await.unwrap().unwrap().unwrap();
    assert_eq!(report.missing_clients, [Sid::from("a"), "c".into()]);
    assert!(report.missing_servers.is_empty());

    // One that is silent is waited for until the deadline.
    let d = two.add("d");
    two.add("e");
    let silent = ask(&one, SHORT);
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
    answer(&mut two, c, "c").await;
    let report = report.await.unwrap().unwrap();
    assert_eq!(report.missing_servers, [dead.hub.host_id().clone()]);
    assert_eq!((report.acks.len(), report.missing_clients.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn collecting_tells_that_the_event_was_not_published_and_who_answered_here() {
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
    answer(&mut one, key, "a").await;
    let report = report.await.unwrap().unwrap();
    assert!(report.failure.as_ref().is_some_and(Error::is_retryable), "{report:?}");
    assert_eq!(report.acks.len(), 1);
}

/// A host whose manager gives up after `deadline`, and which knows that it is alone.
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
async fn collecting_tells_that_the_event_was_not_published_where_nobody_is_known() {
    let bus = MemoryBus::new();
    let one = alone(&bus, Duration::from_millis(50)).await;
    bus.stop();
    let report = one.hub.broadcast().timeout(DEADLINE).emit_and_collect("q", &()).await;
    let report = report.unwrap();
    assert!(report.failure.as_ref().is_some_and(Error::is_retryable), "{report:?}");
    assert!(!report.is_complete());
}

#[tokio::test(start_paused = true)]
async fn an_emitter_tells_that_the_event_was_not_published_where_nobody_is_known() {
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
async fn answers_that_came_while_the_broker_was_waited_for_are_not_lost() {
    let bus = MemoryBus::new();
    let mut one = alone(&bus, Duration::from_secs(2)).await;
    let key = one.add("a");
    bus.stop();
    // All the time passes before the event is known not to be published.
    let report = tokio::spawn(one.hub.broadcast().timeout(SHORT).emit_and_collect("q", &()));
    answer(&mut one, key, "a").await;
    let report = report.await.unwrap().unwrap();
    assert_eq!((report.acks.len(), report.missing_clients.len()), (1, 0), "{report:?}");
    assert!(report.failure.as_ref().is_some_and(Error::is_retryable), "{report:?}");
}
