//! How long asking may take.

use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `ask`, which cannot succeed, and tells how long it took.
async fn took<T>(ask: impl Future<Output = T>) -> (Duration, T) {
    let begin = Instant::now();
    let told = ask.await;
    (begin.elapsed(), told)
}

#[tokio::test(start_paused = true)]
async fn asking_takes_no_longer_than_its_timeout_while_the_broker_is_down() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        // ResponsePart of the time is over before the question can be asked.
        presence_wait: SECOND * 9 / 10,
        ..HubOptions::default()
    };
    let (mut one, _) = Host::start_with(bus.manager("c"), options).await;
    let emitter = Emitter::new(bus.manager("c"));
    bus.stop();
    let soon = SECOND * 11 / 10;

    let (time, servers) = took(one.hub.servers(SECOND)).await;
    assert_eq!(servers.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(time <= soon, "a server's question took {time:?}");
    let (time, servers) = took(emitter.servers(SECOND)).await;
    assert_eq!(servers.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(time <= soon, "an emitter's question took {time:?}");

    one.add("a");
    let io = one.hub.broadcast().timeout(SECOND);
    let (time, answers) = took(io.clone().emit_with_ack("q", &())).await;
    one.expect("a", "q []").await;
    let error = answers.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(time <= soon, "a server's event took {time:?}");
    let (time, report) = took(io.emit_and_collect("q", &())).await;
    assert!(report.unwrap().failure.is_some());
    assert!(time <= soon, "a server's report took {time:?}");

    let io = emitter.broadcast().timeout(SECOND);
    let (time, answers) = took(io.clone().emit_with_ack("q", &())).await;
    assert!(answers.unwrap().next().await.unwrap().is_err());
    assert!(time <= soon, "an emitter's event took {time:?}");
    let (time, report) = took(io.emit_and_collect("q", &())).await;
    assert_eq!(report.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(time <= soon, "an emitter's report took {time:?}");
}
