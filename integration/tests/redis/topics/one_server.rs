//! Topics on one server: older servers, missing rights, limits, and streams that were trimmed.

use std::time::Duration;

use bytes::Bytes;
use integration::proxy::TcpProxy;
use manager_api::topics::{Interest, Stream, Topic, Topics};
use manager_api::{ClientManager, ErrorKind};
use manager_redis::RedisManager;

use super::super::faults::hasty;
use super::super::flavours::server_ok;
use super::super::refusals::add_user;
use super::super::server::Server;
use super::*;

#[tokio::test]
async fn a_server_before_redis_7_is_named_where_sharded_topics_are_asked_for() {
    let renamed = |command| ["--rename-command", command, ""];
    let arguments = ["SPUBLISH", "SSUBSCRIBE"].map(renamed).concat();
    let server = Server::start_with(&arguments).await;
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    let topic = Topic::sharded("t");
    let published = manager.publish_to(&topic, "x".into()).await.unwrap_err();
    let subscribed = manager.subscribe_to(vec![named(&topic)]).await.unwrap_err();
    for error in [published, subscribed] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(
            error.to_string().contains("sharded publish/subscribe needs Redis 7"),
            "{error}"
        );
    }
    manager.publish_to(&Topic::new("t"), "x".into()).await.unwrap();
}

#[tokio::test]
async fn topics_work_on_a_server_that_speaks_the_older_protocol_only() {
    let server = Server::start_with(&["--rename-command", "HELLO", ""]).await;
    let mut options = hasty();
    options.keepalive_interval = Duration::from_millis(50);
    let manager = RedisManager::new(&server.url(), options).unwrap();
    let [plain, sharded] = [Topic::new("t"), Topic::sharded("t")];
    let interests = vec![
        named(&plain),
        named(&sharded),
        Interest::Pattern("p*".into()),
        new_entries("s"),
    ];
    let mut subscription = manager.subscribe_to(interests).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    for topic in [&plain, &sharded, &Topic::new("p1")] {
        manager.publish_to(topic, "x".into()).await.unwrap();
        assert_eq!(
            next_message(&mut subscription).await,
            (topic.to_string(), "x".to_owned())
        );
    }
    manager.append(&stream("s"), numbered(7)).await.unwrap();
    assert_eq!(next_entry(&mut subscription).await, ("s".to_owned(), 7));
    assert_eq!(manager.count_subscribers(&sharded).await.unwrap(), 1);
    assert_eq!(manager.health().num_gaps, 0);
}

#[tokio::test]
async fn the_right_that_topics_lack_is_named() {
    let server = Server::start().await;
    add_user(&server, &["+publish", "+xadd", "+pubsub"]).await;
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port);
    let manager = RedisManager::new(&url, hasty()).unwrap();
    let [topic, sharded] = [Topic::new("socketio"), Topic::sharded("socketio")];
    manager.publish_to(&topic, "x".into()).await.unwrap();
    assert_eq!(manager.count_subscribers(&topic).await.unwrap(), 0);
    for (refused, right) in [
        (manager.publish_to(&sharded, "x".into()).await.err(), "+spublish"),
        (
            manager.publish_to(&Topic::new("other"), "x".into()).await.err(),
            "&other",
        ),
        (manager.append(&stream("s"), numbered(0)).await.err(), "~s"),
        (manager.subscribe_to(vec![named(&sharded)]).await.err(), "+ssubscribe"),
        (
            manager.subscribe_to(vec![Interest::Pattern("*".into())]).await.err(),
            "+psubscribe",
        ),
        (manager.subscribe_to(vec![new_entries("s")]).await.err(), "+xinfo"),
    ] {
        let error = refused.expect("a right is missing");
        assert!(
            error.is_refusal() && error.to_string().contains(&format!("lacks the right {right}")),
            "{error}"
        );
    }
    add_user(&server, &["+publish"]).await;
    let other = RedisManager::new(&url, hasty()).unwrap();
    let error = other.count_subscribers(&topic).await.unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("+pubsub"), "{error}");
}

#[tokio::test]
async fn messages_entries_and_names_over_the_limit_are_skipped_with_a_gap() {
    let server = Server::start().await;
    let mut options = hasty();
    options.common.max_message_bytes = 1000;
    let manager = RedisManager::new(&server.url(), options).unwrap();
    let interests = vec![Interest::Pattern("*".into()), new_entries("s")];
    let mut subscription = manager.subscribe_to(interests).await.unwrap();
    let sender = RedisManager::new(&server.url(), hasty()).unwrap();
    let topic = Topic::new("t");
    let long_name = "n".repeat(100_000);
    for (message, name) in [
        (vec![0_u8; 1001], "t"),
        (vec![0; 200_000], "t"),
        (vec![0; 10], &*long_name),
    ] {
        let publish = redis::cmd("PUBLISH").arg(name).arg(message).to_owned();
        server_ok(&server, &publish).await;
        assert!(expect_gap(&mut subscription).await.contains("over the limit"));
        sender.publish_to(&topic, "next".into()).await.unwrap();
        assert_eq!(next_message(&mut subscription).await.1, "next");
    }
    for len in [1001, 200_000] {
        let entry = [("a", Bytes::from(vec![0_u8; len])), ("b", Bytes::new())];
        sender.append(&stream("s"), entry.into_iter().collect()).await.unwrap();
        assert!(expect_gap(&mut subscription).await.contains("over the limit"));
        sender.append(&stream("s"), numbered(7)).await.unwrap();
        assert_eq!(next_entry(&mut subscription).await.1, 7);
    }
}

#[tokio::test]
async fn a_stream_that_was_trimmed_while_the_connection_was_lost_is_a_gap() {
    let server = Server::start().await;
    let (proxy, url) = TcpProxy::before(&server.url()).await;
    let manager = RedisManager::new(&url, hasty()).unwrap();
    let sender = RedisManager::new(&server.url(), hasty()).unwrap();
    let stream = stream("s");
    let mut subscription = manager.subscribe_to(vec![new_entries("s")]).await.unwrap();
    let mut number = 0;
    let mut append = async || {
        number += 1;
        sender.append(&stream, numbered(number)).await.unwrap();
        number
    };
    for (kept, is_gap) in [(100, false), (3, false), (2, true), (0, true)] {
        let before = append().await;
        assert_eq!(next_entry(&mut subscription).await.1, before);
        proxy.cut().await;
        let missed = [append().await, append().await, append().await];
        let trim = redis::cmd("XTRIM").arg("s").arg("MAXLEN").arg(kept).to_owned();
        server_ok(&server, &trim).await;
        proxy.restore();
        if is_gap {
            assert!(expect_gap(&mut subscription).await.contains("trimmed"));
        }
        for number in &missed[3 - kept.min(3)..] {
            assert_eq!(next_entry(&mut subscription).await.1, *number, "{kept}");
        }
    }
    let before = append().await;
    assert_eq!(next_entry(&mut subscription).await.1, before);
    proxy.cut().await;
    server_ok(&server, redis::cmd("DEL").arg("s")).await;
    proxy.restore();
    assert!(expect_gap(&mut subscription).await.contains("deleted"));
    let after = append().await;
    assert_eq!(next_entry(&mut subscription).await.1, after);
}

#[tokio::test]
async fn a_counter_outlives_its_connection() {
    let server = Server::start().await;
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    let topic = Topic::new("t");
    assert_eq!(manager.count_subscribers(&topic).await.unwrap(), 0);
    server_ok(
        &server,
        redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes"),
    )
    .await;
    assert_eq!(manager.count_subscribers(&topic).await.unwrap(), 0);
    server.freeze().await;
    let error = manager.count_subscribers(&topic).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    server.thaw().await;
    let _subscription = manager.subscribe_to(vec![named(&topic)]).await.unwrap();
    assert_eq!(manager.count_subscribers(&topic).await.unwrap(), 1);
}

#[tokio::test]
async fn names_are_bounded() {
    let manager = RedisManager::new("redis://127.0.0.1:1", hasty()).unwrap();
    let name = "n".repeat(4097);
    let topic = Topic::new(&*name);
    let stream = Stream {
        name: name.clone().into(),
        max_len: 1,
    };
    for error in [
        manager.publish_to(&topic, "x".into()).await.unwrap_err(),
        manager.append(&stream, numbered(0)).await.unwrap_err(),
        manager.subscribe_to(vec![named(&topic)]).await.unwrap_err(),
        manager.count_subscribers(&topic).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
