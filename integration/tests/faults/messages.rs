//! Large messages, whole and refused.

use integration::app::hasty;
use integration::brokers::RedisBroker;
use manager_api::ErrorKind;

use super::{CHANNEL, Host, ROOM, emitter};
use crate::support::{Client, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_arrive_whole_and_what_is_over_the_limit_is_refused() {
    let broker = RedisBroker::start().await;
    let host = Host::start(&broker.url(), hasty(CHANNEL)).await;
    let mut client = Client::connect(host.server.address, &[ROOM]).await;
    let emitter = emitter(&broker.url());
    let large: String = ('a'..='z').cycle().take(10_000_000).collect();
    within("acceptance", emitter.to(ROOM).emit("large", &large))
        .await
        .unwrap();
    let (got,): (String,) = client.event("large").await;
    assert!(got == large, "{} bytes, or others", got.len());

    let too_large = "x".repeat(17 << 20);
    let refused = emitter.to(ROOM).emit("large", &too_large).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge, "{refused}");
    assert!(!refused.is_retryable());
    emitter.to(ROOM).emit("small", &1).await.unwrap();
    assert_eq!(client.event::<(u8,)>("small").await, (1,));
    assert_eq!(host.server.io.metrics().hub.gaps, 0);
}
