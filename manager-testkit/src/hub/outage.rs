//! Cases of hosts during and after an outage. Each stops its broker.

use futures_util::FutureExt;
use manager_api::{Emitter, ManagerOptions};
use tokio::time::Instant;

use super::host::Host;
use crate::conformance::Backend;
use crate::conformance::support::{eventually, hasty_options, options, soon};

/// Without the broker a host delivers to its own clients: they receive the event before the publish fails, within the
/// deadline.
pub async fn local_delivery_goes_on_while_the_broker_is_down(backend: &dyn Backend) {
    let options = hasty_options(backend).await;
    let mut one = Host::start(backend, options.clone()).await;
    one.add("a", &["r"]);
    backend.stop().await;
    for number in 0..3 {
        let started = Instant::now();
        let mut emitted = one.hub.broadcast().to("r").emit("e", &number);
        // The first poll delivers; the publish waits.
        let at_once = (&mut emitted).now_or_never();
        one.expect("a", "e", &format!("[{number}]")).await;
        let failed = match at_once {
            Some(result) => result,
            None => soon("the failure", emitted).await,
        };
        let failed = failed.expect_err("the broker is down");
        assert!(failed.is_retryable(), "{failed:?}");
        assert!(started.elapsed() < 3 * options.deadline, "took {:?}", started.elapsed());
    }
    backend.start().await;
}

/// After a restart of the broker a host reports the gap, and exchanges messages with the others again.
pub async fn after_a_restart_the_hosts_hear_each_other_again(backend: &dyn Backend) {
    let options = options();
    let mut one = Host::start(backend, options.clone()).await;
    let mut two = Host::start(backend, options.clone()).await;
    one.add("a", &[]);
    two.add("x", &[]);
    backend.restart().await;
    if backend.restart_loses_messages() {
        let is_admitted = || async { one.hub.metrics().gaps > 0 && two.hub.metrics().gaps > 0 };
        eventually("both hosts admit a gap", is_admitted).await;
    }
    let hubs = (one.hub.clone(), two.hub.clone());
    for (from, to, sid) in [(hubs.0, &mut two, "x"), (hubs.1, &mut one, "a")] {
        let emitted = async { while from.broadcast().to(sid).emit("e", &1).await.is_err() {} };
        soon("publish", emitted).await;
        to.expect(sid, "e", "[1]").await;
    }
    emits_again(backend, options, &mut two).await;
}

/// Checks that an emit arrives after the outage.
async fn emits_again(backend: &dyn Backend, options: ManagerOptions, host: &mut Host) {
    let emitter = Emitter::new(backend.manager(options).await);
    soon("publish", emitter.to("x").emit("e", &2)).await.expect("publish");
    host.expect("x", "e", "[2]").await;
}
