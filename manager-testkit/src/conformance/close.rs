//! Cases of `close` while the broker is up.

use futures_util::FutureExt;
use manager_api::ErrorKind;

use super::Backend;
use super::support::*;

/// Close flushes the messages that were queued, then ends the stream.
pub async fn close_flushes_then_ends_the_stream(backend: &dyn Backend) {
    const COUNT: usize = 500;
    let options = options();
    let witness = backend.manager(options.clone()).await;
    let mut seen = witness.subscribe().await.expect("subscribe");
    let manager = backend.manager(options.clone()).await;
    let mut own = manager.subscribe().await.expect("subscribe");
    let mut publishes: Vec<_> = (0..COUNT).map(|number| manager.publish(numbered(number))).collect();
    // The first poll queues a message.
    let early: Vec<_> = publishes.iter_mut().map(|publish| publish.now_or_never()).collect();
    soon("close", manager.close()).await.expect("close");
    for (publish, early) in publishes.into_iter().zip(early) {
        let accepted = match early {
            Some(accepted) => accepted,
            None => publish.await,
        };
        accepted.expect("handed over before the close");
    }
    expect_numbers(&mut seen, COUNT).await;
    while soon("end of the stream", own.recv()).await.is_some() {}
    let only_the_witness = || async { backend.num_consumers(&options.channel).await <= 1 };
    eventually("the broker forgets the subscriber", only_the_witness).await;
}

/// After close, publish and subscribe are `Closed`, and closing again is harmless.
pub async fn after_close_everything_is_closed(backend: &dyn Backend) {
    let manager = backend.manager(options()).await;
    manager.publish(numbered(0)).await.expect("publish");
    manager.close().await.expect("close");
    let published = manager.publish(numbered(1)).await.expect_err("publish after close");
    assert_eq!(published.kind(), ErrorKind::Closed);
    assert!(!published.is_retryable());
    let subscribed = manager.subscribe().await.expect_err("subscribe after close");
    assert_eq!(subscribed.kind(), ErrorKind::Closed);
    manager.close().await.expect("close again");

    let unused = backend.manager(options()).await;
    unused.close().await.expect("close without use");
}
