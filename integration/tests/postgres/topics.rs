//! Topics: notifications, and a table for what they cannot carry.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use integration::brokers::postgres::{PostgresBroker, ask};
use integration::brokers::unique_channel;
use manager_api::topics::{Attachment, Attachments, Delivery, Interest, Topic, Topics};
use manager_api::{ClientManager, ErrorKind, Incoming, Subscription};
use manager_postgres::{PostgresManager, PostgresOptions};

use super::{manager, options};
use crate::support::within;

/// Makes a table of a test's own, and returns its name.
async fn table(url: &str) -> String {
    let name = format!("attachments_{}", unique_channel().replace('-', "_"));
    let columns = "id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea";
    ask(url, &format!("CREATE TABLE {name} ({columns})")).await.unwrap();
    name
}

/// Notices are `row 7`.
fn row_of(notice: &[u8]) -> Option<i64> {
    std::str::from_utf8(notice).ok()?.strip_prefix("row ")?.parse().ok()
}

fn attachment(table: &str) -> Attachment {
    Attachment {
        table: table.into(),
        before: "row ".to_owned(),
        after: String::new(),
    }
}

fn of(manager: &PostgresManager) -> &dyn Attachments {
    manager.attachments().unwrap()
}

async fn next(subscription: &mut Subscription<Delivery>) -> Result<Bytes, String> {
    match within("an item", subscription.recv()).await.expect("it goes on") {
        Incoming::Message(Delivery::Message { message, .. }) => Ok(message),
        Incoming::Gap { reason } => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// PostgreSQL passes on one of several that are the same in one transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_published_several_times_arrives_as_often() {
    let url = PostgresBroker::shared().await.url();
    let topic = Topic::new(unique_channel());
    let manager = manager(url, "unused");
    let mut subscription = manager
        .subscribe_to(vec![Interest::Topic(topic.clone())])
        .await
        .unwrap();
    let texts = |number: usize| if number.is_multiple_of(3) { "same" } else { "other" };
    let published = join_all((0..300).map(|number| manager.publish_to(&topic, texts(number).into())));
    assert!(published.await.iter().all(Result::is_ok));
    for number in 0..300 {
        assert_eq!(next(&mut subscription).await.unwrap(), texts(number), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_keep_their_place_among_notifications() {
    let url = PostgresBroker::shared().await.url();
    let (topic, table) = (Topic::new(unique_channel()), table(url).await);
    let manager = manager(url, "unused");
    let attached = of(&manager).subscribe_attached(vec![topic.clone()], (&*table).into(), row_of);
    let mut subscription = attached.await.unwrap();
    let message = |number: usize| match number % 3 {
        0 => Bytes::from(vec![number as u8; 20_000]),
        _ => Bytes::from(number.to_string()),
    };
    let published = join_all((0..100).map(async |number| {
        match number % 3 {
            0 => {
                of(&manager)
                    .publish_attached(&topic, attachment(&table), message(number))
                    .await
            }
            _ => manager.publish_to(&topic, message(number)).await,
        }
    }));
    assert!(published.await.iter().all(Result::is_ok));
    for number in 0..100 {
        assert_eq!(next(&mut subscription).await.unwrap(), message(number), "{number}");
    }
    // One that is gone, and what looks like one.
    let notify = |text: &str| format!("SELECT pg_notify('{topic}', '{text}')");
    ask(url, &format!("{}; {}", notify("row 0"), notify("row x")))
        .await
        .unwrap();
    assert!(next(&mut subscription).await.unwrap_err().contains("deleted before"));
    assert_eq!(next(&mut subscription).await.unwrap(), "row x");
    assert_eq!(manager.health().num_gaps, 1);

    ask(
        url,
        &format!("UPDATE {table} SET created_at = now() - interval '1 h' WHERE id <= 3"),
    )
    .await
    .unwrap();
    of(&manager)
        .delete_attached((&*table).into(), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(
        ask(url, &format!("SELECT count(*) FROM {table}")).await.unwrap(),
        [["31"]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_notification_can_be_is_refused_at_once() {
    let url = PostgresBroker::shared().await.url();
    let topic = Topic::new(unique_channel());
    let manager = manager(url, "unused");
    let mut subscription = manager
        .subscribe_to(vec![Interest::Topic(topic.clone())])
        .await
        .unwrap();
    for len in [0, 1, 7_998, 7_999] {
        manager.publish_to(&topic, "x".repeat(len).into()).await.unwrap();
        assert_eq!(next(&mut subscription).await.unwrap().len(), len);
    }
    let (long, name) = ("x".repeat(8_000), Topic::new("x".repeat(64)));
    for refused in [
        manager.publish_to(&topic, long.into()).await,
        manager.publish_to(&topic, Bytes::from_static(b"\xff")).await,
        manager.publish_to(&topic, Bytes::from_static(b"a\0b")).await,
        manager.publish_to(&name, "x".into()).await,
        manager.publish_to(&Topic::sharded("x"), "x".into()).await,
        manager
            .subscribe_to(vec![Interest::Topic(name.clone())])
            .await
            .map(drop),
        manager
            .subscribe_to(vec![Interest::Pattern("x*".into())])
            .await
            .map(drop),
        of(&manager)
            .publish_attached(&topic, attachment("a; b"), "x".into())
            .await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Config);
    }
}

/// It would fill the queue of the server, and no one could publish any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_is_too_slow_misses_some_and_holds_up_no_one() {
    const COUNT: usize = 2_000;
    let url = PostgresBroker::shared().await.url();
    let topic = Topic::new(unique_channel());
    let mut slow = options("unused");
    slow.common.max_buffered_bytes = 100_000;
    let listener = PostgresManager::new(url, slow).unwrap();
    let mut subscription = listener
        .subscribe_to(vec![Interest::Topic(topic.clone())])
        .await
        .unwrap();
    let publisher = manager(url, "unused");
    let text = |number: usize| format!("{number:>1000}");
    let published = join_all((0..COUNT).map(|number| publisher.publish_to(&topic, text(number).into())));
    assert!(within("accepted", published).await.iter().all(Result::is_ok));
    let end = async {
        loop {
            publisher.publish_to(&topic, "end".into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut received = Vec::new();
    let reading = async {
        loop {
            match next(&mut subscription).await {
                Ok(message) if message == "end" => return,
                item => received.push(item),
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = end => {}
    }
    let gap = received.iter().position(Result::is_err).expect("it missed some");
    let before = received[..gap].iter().map(|item| item.clone().unwrap());
    assert!(before.eq((0..gap).map(|number| Bytes::from(text(number)))));
    assert!(received[gap].as_ref().unwrap_err().contains("too slow"));
    assert!((50..COUNT).contains(&gap), "{gap}");
}

/// A server that has neither our schema nor any right but those that are documented.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_right_to_attachments_is_named() {
    let broker = PostgresBroker::start().await;
    let (url, topic) = (broker.url(), Topic::new(unique_channel()));
    let as_user = url.replacen("postgres@", "worker@", 1);
    ask(&url, "CREATE ROLE worker LOGIN").await.unwrap();
    let table = table(&url).await;
    let sequence = format!("{table}_id_seq");
    let manager = PostgresManager::new(&as_user, PostgresOptions::default()).unwrap();
    // Without any right.
    let mut plain = manager
        .subscribe_to(vec![Interest::Topic(topic.clone())])
        .await
        .unwrap();
    manager.publish_to(&topic, "plain".into()).await.unwrap();
    assert_eq!(next(&mut plain).await.unwrap(), "plain");

    let subscribe = async || {
        let attached = of(&manager).subscribe_attached(vec![topic.clone()], (&*table).into(), row_of);
        attached.await
    };
    let publish = async || {
        of(&manager)
            .publish_attached(&topic, attachment(&table), "x".into())
            .await
    };
    let delete = async || {
        of(&manager)
            .delete_attached((&*table).into(), Duration::from_secs(60))
            .await
    };
    let grant = async |right: &str| ask(&url, &format!("GRANT {right} TO worker")).await.unwrap();
    let is_refused = |error: manager_api::Error, said: &str| {
        assert!(error.is_refusal() && error.to_string().contains(said), "{error}");
    };
    let on_table = format!("GRANT SELECT, INSERT, DELETE ON {table}");
    is_refused(subscribe().await.map(drop).unwrap_err(), &on_table);
    is_refused(publish().await.unwrap_err(), &on_table);
    is_refused(delete().await.unwrap_err(), &on_table);
    grant(&format!("SELECT ON {table}")).await;
    let mut subscription = subscribe().await.unwrap();
    grant(&format!("INSERT ON {table}")).await;
    is_refused(
        publish().await.unwrap_err(),
        &format!("GRANT USAGE ON SEQUENCE {sequence}"),
    );
    grant(&format!("USAGE ON SEQUENCE {sequence}")).await;
    publish().await.unwrap();
    assert_eq!(next(&mut subscription).await.unwrap(), "x");
    grant(&format!("DELETE ON {table}")).await;
    delete().await.unwrap();
    let missing = of(&manager).subscribe_attached(vec![topic.clone()], "no_such_table".into(), row_of);
    let missing = missing.await.map(drop).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
    is_refused(missing, "no_such_table");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emitter_needs_no_right_to_read_attachments() {
    let broker = PostgresBroker::start().await;
    let (url, topic) = (broker.url(), Topic::new(unique_channel()));
    let table = table(&url).await;
    let sequence = format!("{table}_id_seq");
    let reader = manager(&url, "unused");
    let attached = of(&reader).subscribe_attached(vec![topic.clone()], (&*table).into(), row_of);
    let mut subscription = attached.await.unwrap();
    let rights =
        format!("GRANT INSERT, SELECT (id) ON {table} TO emitter; GRANT USAGE ON SEQUENCE {sequence} TO emitter");
    ask(&url, &format!("CREATE ROLE emitter LOGIN; {rights}"))
        .await
        .unwrap();
    let as_emitter = url.replacen("postgres@", "emitter@", 1);
    let emitter = PostgresManager::new(&as_emitter, PostgresOptions::default()).unwrap();
    let emitted = of(&emitter).publish_attached(&topic, attachment(&table), "y".into());
    emitted.await.unwrap();
    assert_eq!(next(&mut subscription).await.unwrap(), "y");
}
