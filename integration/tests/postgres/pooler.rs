//! PgBouncer: which of its modes serve a listener, and that an emitter needs none of them.

use integration::brokers::postgres::{Pooler, PostgresBroker};
use integration::brokers::unique_channel;
use manager_api::{ClientManager, ErrorKind};

use super::{manager, next_text};

async fn pooler(broker: &PostgresBroker, mode: &str) -> Pooler {
    let server = format!("server = {}", broker.address());
    Pooler::start_with(&[&server, &format!("pool_mode = {mode}")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_is_refused_where_a_pooler_changes_connections_and_an_emitter_is_not() {
    let broker = PostgresBroker::start().await;
    for mode in ["transaction", "statement"] {
        let pooler = pooler(&broker, mode).await;
        let channel = unique_channel();
        let through = manager(&pooler.url(), &channel);
        let refused = through.subscribe().await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.is_refusal()),
            (ErrorKind::Config, true),
            "{mode}: {refused}"
        );
        assert!(refused.to_string().contains("pool_mode = session"), "{mode}: {refused}");
        let direct = manager(&broker.url(), &channel);
        let mut subscription = direct.subscribe().await.unwrap();
        for number in 0..100 {
            through.publish(number.to_string().into()).await.unwrap();
        }
        for number in 0..100 {
            assert_eq!(next_text(&mut subscription).await, number.to_string(), "{mode}");
        }
    }
}

/// Others use the pool meanwhile, so that connections change hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_is_busy_is_recognised_as_well() {
    let broker = PostgresBroker::start().await;
    let pooler = pooler(&broker, "transaction").await;
    let url = pooler.url();
    let busy = tokio::spawn({
        let url = url.clone();
        async move {
            let channel = unique_channel();
            let one = manager(&url, &channel);
            loop {
                let many = (0..8).map(|_| one.publish("x".into()));
                futures_util::future::join_all(many).await;
            }
        }
    });
    for _ in 0..5 {
        let refused = manager(&url, &unique_channel()).subscribe().await.unwrap_err();
        assert!(refused.to_string().contains("pool_mode = session"), "{refused}");
    }
    busy.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_in_session_mode_serves_a_listener_also_with_a_single_connection() {
    let broker = PostgresBroker::start().await;
    let pooler = pooler(&broker, "session").await;
    let channel = unique_channel();
    let through = manager(&pooler.url(), &channel);
    let mut subscription = through.subscribe().await.unwrap();
    through.publish("x".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "x");
    let server = format!("server = {}", broker.address());
    let single = Pooler::start_with(&[&server, "pool_mode = session", "default_pool_size = 1"]).await;
    let alone = manager(&single.url(), &channel);
    let mut subscription = alone.subscribe().await.unwrap();
    through.publish("y".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "y");
}
