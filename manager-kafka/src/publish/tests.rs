//! The release and replacement of the client under concurrency. No broker listens at the address.

use std::pin::pin;

use tokio::time::sleep;

use super::*;
use crate::config::KafkaOptions;

fn publisher(deadline: Duration) -> Publisher {
    let mut options = KafkaOptions::default();
    options.common.deadline = deadline;
    let connector = Arc::new(Connector::new("kafka://127.0.0.1:1", options).unwrap());
    let status = Arc::new(Status::new(connector.label()));
    Publisher::new(connector, status)
}

#[test]
fn what_was_recalled_is_taken_back_even_if_a_start_comes_between() {
    let publisher = publisher(Duration::from_secs(10));
    let core = &publisher.core;
    let mut phase = core.phase();
    std::thread::scope(|scope| {
        scope.spawn(|| core.recall());
        // It has to wait for the lock; one that does not has the time to set what is cleared next.
        let until = Instant::now() + Duration::from_millis(200);
        while core.trouble.get() != Trouble::CLIENT && Instant::now() < until {
            std::thread::yield_now();
        }
        core.trouble.clear();
        *phase = Phase::Starting(VecDeque::new());
        drop(phase);
    });
    assert!(core.has_lost_client(), "the start goes on with the client");
}

#[test]
fn what_was_recalled_is_taken_back_even_if_a_start_is_almost_over() {
    let publisher = publisher(Duration::from_secs(10));
    let core = &publisher.core;
    let producer = Arc::new(Producer::new(core).unwrap());
    *core.phase() = Phase::Starting(VecDeque::new());
    core.recall();
    core.become_ready(producer);
    assert!(!matches!(*core.phase(), Phase::Ready(_)), "it goes on with the client");
    assert!(core.has_lost_client());
}

#[tokio::test]
async fn a_close_that_was_given_up_releases_the_client_all_the_same() {
    let publisher = publisher(Duration::from_secs(3));
    let mut publishing = pin!(publisher.publish("x".into()));
    let short = Duration::from_millis(10);
    assert!(timeout(short, publishing.as_mut()).await.is_err());
    assert!(timeout(short, publisher.close()).await.is_err());
    publishing.await.unwrap_err();
    let released = async {
        while !matches!(*publisher.core.phase(), Phase::Idle(None)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), released)
        .await
        .expect("it is released");
}
