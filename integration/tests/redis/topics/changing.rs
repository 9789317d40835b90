//! Subscriptions whose topics change while they run: over the nodes of a cluster, without a right, and without a node.

use std::collections::BTreeSet;
use std::time::Duration;

use manager_api::topics::{Delivery, Interests, Topic, Topics};
use manager_api::{ClientManager, Incoming, Subscription};
use manager_redis::{RedisManager, RedisOptions};
use tokio::time::{Instant, sleep};

use super::super::flavours::server_ok;
use super::super::refusals::add_user;
use super::super::server::Server;
use super::three_nodes::ThreeNodes;
use super::*;

/// The limit of a subscription's topics.
const MAX: usize = 100_000;

/// Options with short pauses only.
fn options() -> RedisOptions {
    let mut options = RedisOptions::default();
    options.common.backoff_base = Duration::from_millis(20);
    options.common.backoff_cap = Duration::from_millis(100);
    options
}

/// Subscribes to nothing yet.
async fn changing(manager: &RedisManager) -> (Interests, Subscription<Delivery>) {
    let (interests, changes) = Interests::channel(Vec::new(), MAX).unwrap();
    (interests, manager.subscribe_to_changing(changes).await.unwrap())
}

/// Returns the sharded channels that have subscribers, on every node.
async fn channels<'a>(servers: impl IntoIterator<Item = &'a Server>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let command = redis::cmd("PUBSUB").arg("SHARDCHANNELS").to_owned();
    for server in servers {
        all.extend(server.command::<Vec<String>>(&command).await.unwrap());
    }
    all
}

/// Waits until exactly these channels have subscribers.
async fn until_channels(servers: &[Server], expected: &BTreeSet<String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = channels(servers).await;
        if found == *expected {
            return;
        }
        let missing: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(expected).collect();
        assert!(Instant::now() < deadline, "missing {missing:?}, not wanted {more:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Receives messages until each of these topics has yielded one; returns the number of gaps before.
async fn until_each(subscription: &mut Subscription<Delivery>, expected: &BTreeSet<String>) -> usize {
    let (mut missing, mut num_gaps) = (expected.clone(), 0);
    while !missing.is_empty() {
        match next(subscription).await {
            Incoming::Message(Delivery::Message { topic, .. }) => {
                let topic = String::from_utf8_lossy(&topic).into_owned();
                assert!(expected.contains(&topic), "{topic}");
                missing.remove(&topic);
            }
            Incoming::Gap { .. } => num_gaps += 1,
            unexpected => panic!("{unexpected:?}"),
        }
    }
    num_gaps
}

#[tokio::test]
async fn topics_of_all_slots_change_at_random_and_end_on_the_nodes_of_their_slots() {
    const COUNT: usize = 400;
    let cluster = ThreeNodes::start().await;
    let [listener, publisher] = [0, 1].map(|node| RedisManager::new(&cluster.url_of(node), options()).unwrap());
    let (interests, mut subscription) = changing(&listener).await;
    let topics: Vec<_> = (0..COUNT)
        .map(|number| Topic::sharded(format!("room-{number}")))
        .collect();
    for round in 0..3 {
        let mut wanted = vec![false; COUNT];
        for step in 0..COUNT * 10 {
            let number = fastrand::usize(..COUNT);
            wanted[number] = !wanted[number];
            match wanted[number] {
                true => interests.add(named(&topics[number])).unwrap(),
                false => interests.remove(&named(&topics[number])),
            }
            if step % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let expected = wanted.iter().zip(&topics).filter(|(is_wanted, _)| **is_wanted);
        let expected: BTreeSet<_> = expected.map(|(_, topic)| topic.to_string()).collect();
        until_channels(&cluster.nodes, &expected).await;
        if round == 2 {
            // All are subscribed to anew, on every node.
            let clients = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").to_owned();
            for node in &cluster.nodes {
                node.command::<usize>(&clients).await.unwrap();
            }
            until_channels(&cluster.nodes, &expected).await;
        }
        let publishes = topics.iter().map(|topic| publisher.publish_to(topic, "x".into()));
        for accepted in futures_util::future::join_all(publishes).await {
            accepted.unwrap();
        }
        let num_gaps = until_each(&mut subscription, &expected).await;
        assert_eq!(num_gaps > 0, round == 2, "{num_gaps} gaps in round {round}");
        topics.iter().for_each(|topic| interests.remove(&named(topic)));
        until_channels(&cluster.nodes, &BTreeSet::new()).await;
    }
    assert_eq!(subscription.try_recv(), None);
}

#[tokio::test]
async fn a_topic_without_the_right_disturbs_no_other_and_is_received_once_there_is_the_right() {
    let server = Server::start().await;
    add_user(&server, &["+ssubscribe", "+sunsubscribe", "+spublish"]).await;
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port);
    let manager = RedisManager::new(&url, options()).unwrap();
    let admin = RedisManager::new(&server.url(), options()).unwrap();
    let (interests, mut subscription) = changing(&manager).await;
    let [allowed, refused] = [Topic::sharded("socketio"), Topic::sharded("other")];
    let error = interests.subscribe(vec![named(&refused)]).await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert!(error.to_string().contains("&other"), "{error}");
    assert_eq!(interests.len(), 0);

    interests.add(named(&refused)).unwrap();
    interests.subscribe(vec![named(&allowed)]).await.unwrap();
    manager.publish_to(&allowed, "1".into()).await.unwrap();
    assert_eq!(next_message(&mut subscription).await.1, "1");
    // Also after a lost connection.
    let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").to_owned();
    server.command::<usize>(&kill).await.unwrap();
    expect_gap(&mut subscription).await;
    manager.publish_to(&allowed, "2".into()).await.unwrap();
    assert_eq!(next_message(&mut subscription).await.1, "2");
    server_ok(&server, redis::cmd("ACL").arg("SETUSER").arg("me").arg("&other")).await;
    let reason = expect_gap(&mut subscription).await;
    assert!(reason.contains("other"), "{reason}");
    admin.publish_to(&refused, "3".into()).await.unwrap();
    assert_eq!(next_message(&mut subscription).await.1, "3");
}

#[tokio::test]
async fn a_topic_of_a_node_that_is_away_disturbs_no_other_and_is_received_when_it_is_back() {
    let cluster = ThreeNodes::start().await;
    let no_coverage = redis::cmd("CONFIG")
        .arg("SET")
        .arg("cluster-require-full-coverage")
        .arg("no")
        .to_owned();
    for node in &cluster.nodes {
        server_ok(node, &no_coverage).await;
    }
    let manager = RedisManager::new(&cluster.url_of(0), options()).unwrap();
    let (interests, mut subscription) = changing(&manager).await;
    let mut of_node = [const { None }; 3];
    for number in 0.. {
        let topic = Topic::sharded(format!("room-{number}"));
        let owner = cluster.owner_of(cluster.slot_of(&topic.name).await);
        of_node[owner].get_or_insert(topic);
        if of_node.iter().all(Option::is_some) {
            break;
        }
    }
    let [first, second, third] = of_node.map(Option::unwrap);
    interests.subscribe(vec![named(&first), named(&second)]).await.unwrap();
    cluster.nodes[2].kill().await;
    interests.add(named(&third)).unwrap();
    for number in 0..5 {
        for topic in [&first, &second] {
            manager.publish_to(topic, number.to_string().into()).await.unwrap();
            assert_eq!(next_message(&mut subscription).await.1, number.to_string());
        }
        sleep(Duration::from_millis(50)).await;
    }
    cluster.nodes[2].restart().await;
    let reason = expect_gap(&mut subscription).await;
    assert!(reason.contains(&*third.name), "{reason}");
    while let Err(error) = manager.publish_to(&third, "x".into()).await {
        assert!(error.is_retryable(), "{error}");
    }
    assert_eq!(
        next_message(&mut subscription).await,
        (third.to_string(), "x".to_owned())
    );
    manager.close().await.unwrap();
}

#[tokio::test]
async fn topics_whose_slots_move_while_they_change_end_where_their_slots_are() {
    let cluster = ThreeNodes::start().await;
    let manager = RedisManager::new(&cluster.url_of(0), options()).unwrap();
    let (interests, mut subscription) = changing(&manager).await;
    let topics: Vec<_> = (0..20)
        .map(|number| Topic::sharded(format!("{{tag}}{number}")))
        .collect();
    let slot = cluster.slot_of("{tag}").await;
    let owner = cluster.owner_of(slot);
    for (from, to) in [(0, 1), (1, 2)].map(|(from, to)| ((owner + from) % 3, (owner + to) % 3)) {
        for topic in &topics {
            interests.add(named(topic)).unwrap();
        }
        let change = async {
            for topic in &topics[..10] {
                interests.remove(&named(topic));
                sleep(Duration::from_millis(5)).await;
            }
        };
        cluster.move_slot(slot, from, to, change).await;
    }
    let expected: BTreeSet<_> = topics[10..].iter().map(Topic::to_string).collect();
    until_channels(&cluster.nodes, &expected).await;
    for topic in &topics {
        manager.publish_to(topic, "x".into()).await.unwrap();
    }
    until_each(&mut subscription, &expected).await;
}
