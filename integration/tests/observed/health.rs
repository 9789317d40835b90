//! Probes while a broker stands still: not ready within the documented time, live all the time, ready again afterwards.

use std::time::Duration;

use gateway::health::Health;
use integration::brokers::{Flavour, KafkaBroker, RabbitBroker, RedisBroker, unique_channel};
use integration::{DEADLINE, managers};
use socket_io::SocketIo;
use tokio::time::{Instant, sleep};

use super::{get, serve};
use crate::support::Server;

/// Between two probes.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that a response may take on a busy machine; it takes less than a millisecond.
const RESPONSIVE: Duration = Duration::from_secs(5);

/// `within` is what `docs/observability.md` says for the broker's defaults.
async fn a_broker_that_stands_still<F: Flavour>(within: Duration) {
    let broker = F::try_start().await.unwrap_or_else(|why| panic!("{why}"));
    let manager = managers::on_channel(&broker.url(), &unique_channel());
    let server = Server::start(SocketIo::builder().manager(manager)).await;
    let address = serve(&Health::new(server.io.clone())).await;
    let status = async |path: &str| {
        let asked = Instant::now();
        let status = get(address, path).await.status;
        assert!(asked.elapsed() < RESPONSIVE, "{path} took {:?}", asked.elapsed());
        status
    };
    // A manager may know of its connection a moment after the server has subscribed.
    let subscribed = Instant::now();
    while status("/health/ready").await != 200 {
        assert!(subscribed.elapsed() < DEADLINE, "not ready at first");
        sleep(LOOK).await;
    }
    assert_eq!(status("/health/live").await, 200);

    assert!(broker.freeze().await);
    let frozen = Instant::now();
    while status("/health/ready").await == 200 {
        assert!(frozen.elapsed() < within, "still ready after {within:?}");
        assert_eq!(status("/health/live").await, 200);
        sleep(LOOK).await;
    }
    println!("{}: not ready after {:?}", F::NAME, frozen.elapsed());
    assert_eq!(
        get(address, "/health/ready").await.body,
        "not listening to the channel\n"
    );
    assert_eq!(status("/health/live").await, 200, "a restart would not help");
    let page = get(address, "/metrics").await.body;
    assert!(
        page.contains("\nsio_ready 0\n") && page.contains("\nsio_live 1\n"),
        "{page}"
    );

    broker.thaw();
    let thawed = Instant::now();
    while status("/health/ready").await != 200 {
        assert!(thawed.elapsed() < DEADLINE, "not ready again");
        sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_stands_still_makes_a_server_not_ready_in_time_and_it_stays_live() {
    a_broker_that_stands_still::<RedisBroker>(Duration::from_secs(25)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_that_stands_still_makes_a_server_not_ready_in_time_and_it_stays_live() {
    a_broker_that_stands_still::<RabbitBroker>(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_that_stands_still_makes_a_server_not_ready_in_time_and_it_stays_live() {
    a_broker_that_stands_still::<KafkaBroker>(Duration::from_secs(30)).await;
}
