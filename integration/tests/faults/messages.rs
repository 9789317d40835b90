//! Messages that cannot be read, and very large ones.

use integration::app::hasty;
use integration::brokers::RedisBroker;
use manager_api::ErrorKind;
use manager_redis::RedisManager;

use super::{CHANNEL, Host, ROOM, emit_all, emitter, end};
use crate::support::{Client, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decoded_is_counted_and_passed_over() {
    let broker = RedisBroker::start().await;
    let host = Host::start(&broker.url(), hasty(CHANNEL)).await;
    let client = Client::connect(host.server.address, &[ROOM]).await.read();
    let nonsense: [&[u8]; 7] = [
        // As python-socketio before 5.14 wrote: {'method': 'emit', 'event': 'm'}, pickled.
        b"\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94(\x8c\x06method\x94\x8c\x04emit\x94\x8c\x05event\x94\x8c\x01m\x94u.",
        b"",
        b"\xff\xfe",
        b"null",
        b"{\"event\":\"m\"}",
        b"{\"method\":\"emit\"}",
        b"{\"method\":\"emit\",\"event\":\"m\",\"data\":[[[[",
    ];
    let publisher = RedisManager::new(&broker.url(), hasty(CHANNEL)).unwrap();
    let emitter = manager_api::Emitter::new(publisher);
    for (number, body) in nonsense.iter().enumerate() {
        let number = number as u64;
        emitter.manager().publish(body.to_vec().into()).await.unwrap();
        emit_all(&emitter, number..number + 1, "").await;
    }
    end(&emitter).await;
    assert_eq!(client.finish().await, (0..nonsense.len() as u64).collect::<Vec<_>>());
    let metrics = host.server.io.metrics().hub;
    assert_eq!(
        (metrics.undecodable, metrics.gaps, metrics.panics),
        (nonsense.len() as u64, 0, 0)
    );
}

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
