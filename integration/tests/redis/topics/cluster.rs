//! Topics on a Redis Cluster: the node of a slot is found, and found again once the slot was moved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use manager_api::topics::{Delivery, Topic, Topics};
use manager_api::{ClientManager, Incoming};
use manager_redis::{RedisManager, RedisOptions};
use tokio::time::sleep;

use super::three_nodes::ThreeNodes;
use super::*;

/// Names whose slots are on all nodes.
fn names() -> Vec<String> {
    (0..30).map(|number| format!("name-{number}")).collect()
}

/// Options with short pauses only.
fn patient() -> RedisOptions {
    let mut options = RedisOptions::default();
    options.common.backoff_base = Duration::from_millis(20);
    options.common.backoff_cap = Duration::from_millis(100);
    options
}

#[tokio::test]
async fn sharded_messages_go_to_the_node_of_their_slot_and_keep_their_order() {
    const EACH: usize = 40;
    let cluster = ThreeNodes::start().await;
    let [listener, publisher] = [0, 1].map(|node| RedisManager::new(&cluster.url_of(node), patient()).unwrap());
    let topics: Vec<_> = names().into_iter().map(Topic::sharded).collect();
    let mut subscription = listener.subscribe_to(topics.iter().map(named).collect()).await.unwrap();
    let each = (0..EACH).flat_map(|number| topics.iter().map(move |topic| (number, topic)));
    let publishes = each.map(|(number, topic)| publisher.publish_to(topic, number.to_string().into()));
    for accepted in futures_util::future::join_all(publishes).await {
        accepted.unwrap();
    }
    let mut next_of = HashMap::<String, usize>::new();
    for _ in 0..EACH * topics.len() {
        let (topic, message) = next_message(&mut subscription).await;
        let next = next_of.entry(topic).or_default();
        assert_eq!(message, next.to_string());
        *next += 1;
    }
    assert_eq!(subscription.try_recv(), None);
    assert_eq!(publisher.health().num_published, (EACH * topics.len()) as u64);
    publisher.close().await.unwrap();
}

#[tokio::test]
async fn entries_go_to_the_node_of_their_stream_and_are_read_there() {
    const EACH: usize = 20;
    let cluster = ThreeNodes::start().await;
    let manager = RedisManager::new(&cluster.url_of(0), patient()).unwrap();
    let names: Vec<_> = names().into_iter().take(9).collect();
    let interests = names.iter().map(|name| new_entries(name)).collect();
    let mut subscription = manager.subscribe_to(interests).await.unwrap();
    let each = (0..EACH).flat_map(|number| names.iter().map(move |name| (number, stream(name))));
    let appended = each.map(|(number, stream)| {
        let manager = &manager;
        async move { manager.append(&stream, numbered(number)).await }
    });
    // Those that `close` flushes, too.
    let (appended, ()) = tokio::join!(futures_util::future::join_all(appended), async {
        let mut next_of = HashMap::<String, usize>::new();
        for _ in 0..EACH * names.len() {
            let (stream, number) = next_entry(&mut subscription).await;
            let next = next_of.entry(stream).or_default();
            assert_eq!(number, *next);
            *next += 1;
        }
    });
    assert!(appended.iter().all(Result::is_ok));
    assert_eq!(subscription.try_recv(), None);
}

#[tokio::test]
async fn subscribers_on_every_node_are_counted() {
    let cluster = ThreeNodes::start().await;
    let managers = [0, 1, 2].map(|node| RedisManager::new(&cluster.url_of(node), patient()).unwrap());
    for topic in [Topic::new("t"), Topic::sharded("t")] {
        let mut subscriptions = Vec::new();
        for (index, manager) in managers.iter().enumerate() {
            subscriptions.push(manager.subscribe_to(vec![named(&topic)]).await.unwrap());
            for other in &managers {
                assert_eq!(other.count_subscribers(&topic).await.unwrap(), index as u64 + 1);
            }
        }
        managers[0].publish_to(&topic, "x".into()).await.unwrap();
        for subscription in &mut subscriptions {
            assert_eq!(next_message(subscription).await.1, "x");
        }
    }
}

#[tokio::test]
async fn sharded_topics_on_every_node_are_found() {
    let cluster = ThreeNodes::start().await;
    let [listener, other] = [0, 1].map(|node| RedisManager::new(&cluster.url_of(node), patient()).unwrap());
    let topics: Vec<_> = names().into_iter().map(Topic::sharded).collect();
    let _subscription = listener.subscribe_to(topics.iter().map(named).collect()).await.unwrap();
    let mut found = other.find_sharded("name-*", 1_000).await.unwrap();
    let mut expected = names();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(other.find_sharded("name-*", 7).await.unwrap().len(), 7);
    // The connections are as before.
    assert_eq!(other.count_subscribers(&topics[0]).await.unwrap(), 1);
}

#[tokio::test]
async fn close_flushes_what_waits_for_other_nodes() {
    let cluster = ThreeNodes::start().await;
    let publisher = RedisManager::new(&cluster.url_of(0), patient()).unwrap();
    let streams: Vec<_> = names().iter().map(|name| stream(name)).collect();
    let mut appends: Vec<_> = streams
        .iter()
        .map(|stream| publisher.append(stream, numbered(1)))
        .collect();
    // The first poll queues them.
    for append in &mut appends {
        let _ = futures_util::poll!(append);
    }
    publisher.close().await.unwrap();
    for append in futures_util::future::join_all(appends).await {
        append.unwrap();
    }
    let mut num_keys = 0;
    for node in &cluster.nodes {
        num_keys += node.command::<usize>(&redis::cmd("DBSIZE")).await.unwrap();
    }
    assert_eq!(num_keys, streams.len());
}

/// Publishes to a topic and appends to a stream, many at once, until it is over; returns how many each has received.
async fn publish_until(is_over: &AtomicBool, manager: &RedisManager, topic: &Topic, stream: &Stream) -> usize {
    let mut number = 0;
    while !is_over.load(Ordering::SeqCst) {
        let several = number..number + 20;
        let published = several
            .clone()
            .map(|number| manager.publish_to(topic, number.to_string().into()));
        let appended = several.clone().map(|number| manager.append(stream, numbered(number)));
        let (published, appended) = tokio::join!(
            futures_util::future::join_all(published),
            futures_util::future::join_all(appended)
        );
        published
            .into_iter()
            .chain(appended)
            .for_each(|accepted| accepted.unwrap());
        number = several.end;
        sleep(Duration::from_millis(1)).await;
    }
    number
}

/// Publishes to a sharded topic and appends to a stream of the same slot, all at once, while the slot goes to each node.
#[tokio::test]
async fn a_slot_that_is_moved_while_publishing_keeps_the_order_and_loses_no_entry() {
    let cluster = ThreeNodes::start().await;
    let manager = RedisManager::new(&cluster.url_of(0), patient()).unwrap();
    let (topic, stream) = (Topic::sharded("{tag}topic"), stream("{tag}stream"));
    let mut messages = manager.subscribe_to(vec![named(&topic)]).await.unwrap();
    let mut entries = manager.subscribe_to(vec![new_entries("{tag}stream")]).await.unwrap();
    let is_over = AtomicBool::new(false);
    let move_about = async {
        let slot = cluster.slot_of("{tag}").await;
        let owner = cluster.owner_of(slot);
        for (from, to) in [(0, 1), (1, 2), (2, 0)].map(|(from, to)| ((owner + from) % 3, (owner + to) % 3)) {
            sleep(Duration::from_millis(200)).await;
            cluster
                .move_slot(slot, from, to, sleep(Duration::from_millis(200)))
                .await;
        }
        sleep(Duration::from_millis(500)).await;
        is_over.store(true, Ordering::SeqCst);
    };
    let (count, ()) = tokio::join!(publish_until(&is_over, &manager, &topic, &stream), move_about);
    assert!(count > 100, "{count}");
    for expected in 0..count {
        assert_eq!(next_entry(&mut entries).await.1, expected, "of {count}");
    }
    assert_eq!(entries.try_recv(), None);
    let (mut last, mut num_gaps) = (None, 0);
    let receive = async {
        while last != Some(count) {
            match next(&mut messages).await {
                Incoming::Message(Delivery::Message { message, .. }) => {
                    let number: usize = String::from_utf8_lossy(&message).parse().unwrap();
                    assert!(last < Some(number), "{number} after {last:?}");
                    last = Some(number);
                }
                Incoming::Gap { .. } => num_gaps += 1,
                unexpected => panic!("{unexpected:?}"),
            }
        }
    };
    let publish = async {
        loop {
            manager.publish_to(&topic, count.to_string().into()).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = receive => {}
        () = publish => {}
    }
    assert!(num_gaps > 0, "the subscription was moved");
}

#[tokio::test]
async fn a_node_that_is_lost_fails_what_it_did_not_answer_and_takes_the_rest_when_it_is_back() {
    let cluster = ThreeNodes::start().await;
    let manager = RedisManager::new(&cluster.url_of(0), patient()).unwrap();
    let mut names = names().into_iter();
    let mut streams = Vec::new();
    while streams.len() < 3 {
        let name = names.next().expect("a name of each node");
        if cluster.owner_of(cluster.slot_of(&name).await) == streams.len() {
            streams.push(stream(&name));
        }
    }
    for stream in &streams {
        manager.append(stream, numbered(0)).await.unwrap();
    }
    cluster.nodes[2].kill().await;
    let waits = manager.append(&streams[2], numbered(1));
    let others = async {
        for stream in &streams[..2] {
            manager.append(stream, numbered(1)).await.unwrap();
        }
        manager.publish("goes on".into()).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        cluster.nodes[2].restart().await;
    };
    let (waited, ()) = tokio::join!(waits, others);
    if let Err(error) = waited {
        // It was sent before the loss was noticed.
        assert!(error.is_retryable(), "{error}");
    }
    manager.append(&streams[2], numbered(2)).await.unwrap();
}
