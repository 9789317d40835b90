//! The order of handlers of events for servers.

use futures_util::FutureExt;

use super::cluster::{SHORT, until_known};
use super::*;
use manager_api::cluster::ServerEvent;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handlers_of_events_for_servers_start_in_the_order_in_which_these_were_sent() {
    const MANY: u32 = 1_000;
    let (_bus, one, two) = two_hosts().await;
    until_known(&one, 1).await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = move |event: ServerEvent| {
        started.send(event.parse::<u32>().unwrap()).unwrap();
        async move {
            // They overlap.
            tokio::task::yield_now().await;
            assert_ne!(event.parse::<u32>().unwrap() % 100, 7, "requested by the test");
            None
        }
        .boxed()
    };
    two.hub.on_server_event(EventName::new("n").unwrap(), Arc::new(handler));
    for number in 0..MANY {
        one.hub.server_side_emit("n", &number).await.unwrap();
    }
    for number in 0..MANY {
        let started = tokio::time::timeout(Duration::from_secs(20), starts.recv()).await;
        assert_eq!(started.unwrap().unwrap(), number);
    }
    let counted = async {
        while two.hub.metrics().panics < u64::from(MANY) / 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(20), counted).await;
    counted.expect("panics are counted");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_as_it_starts_delays_no_other() {
    let (_bus, one, two) = two_hosts().await;
    until_known(&one, 1).await;
    let handler = |event: ServerEvent| {
        assert_ne!(event.payload.json(), "[\"panic\"]", "requested by the test");
        async move { Some(event.payload) }.boxed()
    };
    two.hub.on_server_event(EventName::new("e").unwrap(), Arc::new(handler));
    let call = |data| one.hub.server_side_call("e", data, SHORT);
    let (panicked, completed) = tokio::join!(call("panic"), call("fine"));
    assert_eq!(panicked.unwrap().missing_servers.len(), 1);
    assert_eq!(completed.unwrap().found.len(), 1);
    assert_eq!(two.hub.metrics().panics, 1);
}
