//! Operations on very many clients yield to other tasks: counted in yields, not in time.

use super::limits::callback_address;
use super::*;
use manager_api::ack::FORGOTTEN_AT_ONCE;
use manager_api::deadline::after;
use manager_api::turn::YIELD_EVERY;

const MANY: usize = 5 * YIELD_EVERY;

/// The minimum of yields of a loop over so many clients.
const TURNS: usize = MANY / YIELD_EVERY;

type Delivered = (Sid, String, Option<u64>);

const HOUR: Duration = Duration::from_secs(3_600);

/// A host with many clients that does not listen, so that no other task runs.
fn crowded() -> (Arc<Hub<Recorder>>, mpsc::UnboundedReceiver<Delivered>, Vec<ClientKey>) {
    let hub = Hub::new(
        recorder(),
        Some(Arc::new(MemoryBus::new().manager("c"))),
        HubOptions::default(),
    );
    let (sender, sent) = mpsc::unbounded_channel();
    let add = |number| {
        let sid = Sid::from(format!("client {number}"));
        let (client, root) = (
            Recorded {
                sid: sid.clone(),
                sent: sender.clone(),
            },
            NamespaceName::root(),
        );
        hub.registry().add(&root, &sid, client).unwrap()
    };
    let keys = (0..MANY).map(add).collect();
    (hub, sent, keys)
}

fn event() -> Emit {
    Emit::new(NamespaceName::root(), EventName::new("q").unwrap(), Payload::empty())
}

/// Returns the output of a future, and how often it yielded.
async fn count_turns<T>(future: impl Future<Output = T>) -> (T, usize) {
    let (mut future, mut turns) = (std::pin::pin!(future), 0);
    let done = std::future::poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        turns += usize::from(polled.is_pending());
        polled
    });
    (done.await, turns)
}

#[tokio::test]
async fn an_event_of_another_process_with_many_expected_acknowledgements_yields() {
    let (hub, mut sent, keys) = crowded();
    let mut emit = event();
    let recipients = hub.recipients(&emit).await;
    // So that all are scanned once more.
    hub.remove(&NamespaceName::root(), &"client 0".into(), keys[0]);
    (emit.callback, emit.report) = (Some(callback_address()), Some(7));
    let ((), turns) = count_turns(hub.deliver_remote(&emit, Some(HostId::from("h")), &recipients)).await;
    // They are counted, named, reported, collected, registered, scanned and sent to.
    assert!(turns >= 7 * TURNS, "{turns} turns");
    assert_eq!(hub.acks.num_expected(), MANY - 1, "one has left");
    let (_, _, id) = sent.recv().await.unwrap();
    for (number, key) in keys.into_iter().enumerate().skip(1) {
        hub.acknowledge(
            key,
            &Sid::from(format!("client {number}")),
            id.unwrap(),
            Payload::empty(),
        );
    }
    assert_eq!((hub.metrics().pending_acks, hub.acks.num_expected()), (0, 0));
}

#[tokio::test]
async fn an_event_of_this_process_with_many_expected_acknowledgements_yields() {
    let (hub, _sent, _) = crowded();
    let (recipients, deadline) = (hub.recipients(&event()).await, after(HOUR));
    let (acks, turns) = count_turns(hub.emit_expecting(event(), &recipients, Scope::Local, deadline)).await;
    // They are collected, registered and sent to.
    assert!(turns >= 3 * TURNS, "{turns} turns");
    assert_eq!(hub.acks.num_expected(), MANY);
    drop(acks);
    assert!(hub.acks.num_expected() > 0, "they are not all removed at once");
    while hub.acks.num_expected() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.metrics().pending_acks, 0);
}

#[tokio::test]
async fn a_report_about_many_clients_yields() {
    let (hub, _sent, _) = crowded();
    let collecting = hub
        .broadcast()
        .local()
        .timeout(Duration::ZERO)
        .emit_and_collect("q", &());
    let (report, turns) = count_turns(collecting).await;
    assert_eq!(report.unwrap().missing_clients.len(), MANY);
    // They are named, recorded, collected, registered, sent to and sorted.
    assert!(turns >= 6 * TURNS, "{turns} turns");
    let fetching = hub.broadcast().local().fetch_sockets();
    let (found, turns) = count_turns(fetching).await;
    assert_eq!(found.unwrap().found.len(), MANY);
    // They are read with a room each, and added up.
    assert!(turns >= 3 * TURNS, "{turns} turns");
}

#[tokio::test(start_paused = true)]
async fn expired_events_are_swept_in_turns() {
    let table = AckTable::default();
    let expect = |keys| table.expect_for(HostId::from("h"), callback_address(), keys, HOUR, None);
    let keys = 0..MANY as u64;
    // One to many clients, and many to one client each.
    expect(keys.clone().collect()).await;
    for key in keys {
        expect(vec![key]).await;
    }
    let ((), turns) = count_turns(table.sweep()).await;
    assert!(turns >= TURNS, "{turns} turns to look at all of them");
    assert_eq!((table.num_pending(), table.num_expected()), (MANY + 1, 2 * MANY));
    tokio::time::advance(HOUR).await;
    let ((), turns) = count_turns(table.sweep()).await;
    assert!(turns >= 3 * TURNS, "{turns} turns to end all of them");
    assert_eq!((table.num_pending(), table.num_expected()), (0, 0));
}

#[tokio::test]
async fn a_client_that_leaves_with_many_pending_events_yields() {
    let (hub, _sent, keys) = crowded();
    for _ in 0..MANY {
        let registered = hub
            .acks
            .expect_for(HostId::from("h"), callback_address(), vec![keys[0]], HOUR, Some(7));
        registered.await.unwrap();
    }
    hub.remove(&NamespaceName::root(), &"client 0".into(), keys[0]);
    let mut turns = 0;
    while hub.acks.num_expected() > 0 {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert!(turns >= MANY / FORGOTTEN_AT_ONCE - 1, "{turns} turns");
    assert_eq!(hub.metrics().pending_acks, 0);
}

#[tokio::test]
async fn ending_the_membership_of_many_clients_yields() {
    let (hub, _sent, _) = crowded();
    for command in [
        hub.broadcast().local().disconnect_sockets(),
        hub.broadcast().local().close_connections(),
    ] {
        let (done, turns) = count_turns(command).await;
        done.unwrap();
        // Each of them counts for several steps.
        assert!(turns >= 10 * TURNS, "{turns} turns");
    }
    assert_eq!(hub.deliver().disconnected.lock().unwrap().len(), MANY);
    assert_eq!(hub.deliver().closed.lock().unwrap().len(), MANY);
}
