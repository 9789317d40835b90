//! Timeouts of requests and acknowledgements.

use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `request`, which cannot succeed, and returns how long it took.
async fn timed<T>(request: impl Future<Output = T>) -> (Duration, T) {
    let begin = Instant::now();
    let output = request.await;
    (begin.elapsed(), output)
}

#[tokio::test(start_paused = true)]
async fn requests_take_no_longer_than_their_timeout_while_the_broker_is_down() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        // Most of the time has passed before the request can be sent.
        presence_wait: SECOND * 9 / 10,
        ..HubOptions::default()
    };
    let (mut one, _) = Host::start_with(bus.manager("c"), options).await;
    let emitter = Emitter::new(bus.manager("c"));
    bus.stop();
    let soon = SECOND * 11 / 10;

    let (time, servers) = timed(one.hub.servers(SECOND)).await;
    assert_eq!(servers.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(time <= soon, "a server's request took {time:?}");
    let (time, servers) = timed(emitter.servers(SECOND)).await;
    assert_eq!(servers.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(time <= soon, "an emitter's request took {time:?}");

    one.add("a");
    let io = one.hub.broadcast().timeout(SECOND);
    let (time, acks) = timed(io.clone().emit_with_ack("q", &())).await;
    one.expect("a", "q []").await;
    let error = acks.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(time <= soon, "a server's event took {time:?}");
    let (time, report) = timed(io.emit_and_collect("q", &())).await;
    assert!(report.unwrap().failure.is_some());
    assert!(time <= soon, "a server's report took {time:?}");

    let io = emitter.broadcast().timeout(SECOND);
    let (time, acks) = timed(io.clone().emit_with_ack("q", &())).await;
    assert!(acks.unwrap().next().await.unwrap().is_err());
    assert!(time <= soon, "an emitter's event took {time:?}");
    let (time, report) = timed(io.emit_and_collect("q", &())).await;
    assert_eq!(report.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(time <= soon, "an emitter's report took {time:?}");
}
