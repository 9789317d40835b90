//! Outages that every broker goes through.

use std::time::Duration;

use integration::brokers::{Kind, Private};
use integration::proxy::TcpProxy;
use tokio::time::{sleep, timeout};

use super::Run;
use super::run::PATIENCE;

/// Longer than listeners' patience, heartbeats and connect timeouts here; shorter than a test may take.
pub(super) const OUTAGE: Duration = Duration::from_secs(4);

/// Ends the broker, as a crash does, and starts it again after an outage.
pub(super) async fn down_for_a_while<K: Kind>(broker: &mut Private<K>) {
    broker.kill();
    sleep(OUTAGE).await;
    broker.restart().await;
}

/// Stops the broker for an outage; connections stay, nothing answers.
pub(super) async fn stand_still<K: Kind>(broker: &Private<K>) {
    broker.freeze().await;
    sleep(OUTAGE).await;
    broker.thaw();
}

/// Whether listeners behind a proxy miss messages while it is cut, and must report a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    MissesNothing,
    MakesGaps,
}

/// Cuts those off who connect through the proxy, three times, a part of an outage each.
pub(super) async fn cut_off_thrice(proxy: &TcpProxy, run: &Run, cut: Cut) {
    for num_gaps in 1..=3 {
        proxy.cut().await;
        sleep(OUTAGE / 4).await;
        proxy.restore();
        if cut == Cut::MakesGaps {
            run.until_gaps(num_gaps).await;
        }
        run.flows(100).await;
    }
}

/// Waits until something is so that nothing tells by itself.
pub(super) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let so = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, so).await.unwrap_or_else(|_| panic!("{what}: never"));
}
