//! Sizes of messages, and notifications of other programs.

use bytes::Bytes;
use integration::brokers::postgres::{PostgresBroker, ask};
use integration::brokers::unique_channel;
use manager_api::{ClientManager, Incoming};

use super::{manager, next, next_text};
use crate::support::eventually;

/// A notification of PostgreSQL holds less than 8,000 bytes: none of ours grows with its message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_any_size_around_the_limit_of_notifications_arrives() {
    let url = PostgresBroker::shared().await.url();
    let channel = unique_channel();
    let listener = manager(url, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    for len in [0, 1, 7_998, 7_999, 8_000, 8_001, 65_536, (1 << 20) + 1] {
        let message: Bytes = (0..len).map(|number| number as u8).collect::<Vec<_>>().into();
        listener.publish(message.clone()).await.unwrap();
        assert_eq!(next(&mut subscription).await, Incoming::Message(message), "{len} bytes");
        // As an event of a transaction, whose whole message has this size.
        let frame = r#"{"method":"emit","event":"e","data":[""]}"#.len();
        if let Some(rest) = usize::checked_sub(len, frame) {
            let text = "x".repeat(rest);
            let sent = format!(r#"{{"method":"emit","event":"e","data":["{text}"]}}"#);
            ask(url, &format!("SELECT sio_publish('{channel}', '{sent}')"))
                .await
                .unwrap();
            let received = next_text(&mut subscription).await;
            assert_eq!((received.len(), received == sent), (len, true));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_of_another_program_is_counted_and_passed_over() {
    let url = PostgresBroker::shared().await.url();
    let channel = unique_channel();
    let listener = manager(url, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    for payload in ["", "hello", "{\"uid\":\"x\"}", &"x".repeat(7_999)] {
        ask(url, &format!("SELECT pg_notify('{channel}', '{payload}')"))
            .await
            .unwrap();
    }
    listener.publish("ours".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "ours");
    eventually("counted", || listener.health().num_foreign == 4).await;
    assert_eq!((listener.health().num_received, listener.health().num_gaps), (1, 0));
}

/// One is quoted in LISTEN, and not in `pg_notify`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_of_any_name_is_one_channel() {
    let url = PostgresBroker::shared().await.url();
    let unique = unique_channel();
    for name in ["A\"b", "it's", "\\x", "ü", "$$; DROP SCHEMA sio"] {
        let channel = format!("{name}{}", &unique[..20]);
        let listener = manager(url, &channel);
        let mut subscription = listener.subscribe().await.unwrap();
        listener.publish("x".into()).await.unwrap();
        assert_eq!(next_text(&mut subscription).await, "x", "{channel}");
    }
}
