//! Cases of topics: the optional part of the contract.
//!
//! Each begins with [`topics_of`], which ends it where the backend names a reason for having none.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use manager_api::topics::{Delivery, Interest, Topic, Topics};
use manager_api::{ClientManager, ErrorKind, Incoming, ManagerOptions, Subscription};
use tokio::time::Instant;

use super::support::*;
use super::{Backend, Fault};

/// Topics are isolated from each other, whether sharded or not, and from the channel of a manager.
pub async fn topics_are_isolated(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = topics_of(backend, &*manager) else {
        return;
    };
    let [one, two] = [1, 2].map(|number| Topic::new(format!("{}-{number}", options.channel)));
    let channel = Topic::new(options.channel.clone() + "-");
    let mut all = vec![two, channel];
    all.extend(of_each_kind(backend, topics, &one.name));
    let mut on_channel = manager.subscribe().await.expect("subscribe");
    let mut subscriptions = Vec::new();
    for topic in &all {
        subscriptions.push(subscribed(topics, &[topic]).await);
    }
    for (number, topic) in all.iter().enumerate() {
        topics.publish_to(topic, numbered(number)).await.expect("publish");
    }
    manager.publish(numbered(9)).await.expect("publish");
    for (number, topic) in all.iter().enumerate() {
        expect_on(&mut subscriptions[number], topic, [number]).await;
    }
    assert_eq!(number_of(&next_message(&mut on_channel).await), 9);
    assert_eq!(on_channel.try_recv(), None);
    for subscription in &mut subscriptions {
        assert_eq!(subscription.try_recv(), None, "nothing of another topic comes");
    }
}

/// A message reaches each subscriber once, even one that names its topic twice, in the order of publishing.
pub async fn a_message_to_a_topic_arrives_once_and_in_order(backend: &dyn Backend) {
    const COUNT: usize = 1000;
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = topics_of(backend, &*manager) else {
        return;
    };
    let has_patterns = has_all_kinds(backend, topics);
    for topic in of_each_kind(backend, topics, &options.channel) {
        let mut once = vec![Interest::Topic(topic.clone()), Interest::Topic(topic.clone())];
        if has_patterns && !topic.is_sharded {
            once.push(Interest::Pattern(format!("{}*", options.channel).into()));
            once.push(Interest::Pattern(format!("*{}", options.channel).into()));
        }
        let mut subscription = topics.subscribe_to(once).await.expect("subscribe");
        let publisher = backend.manager(options.clone()).await;
        let publisher = publisher.topics().expect("each manager has topics");
        let accepted = join_all((0..COUNT).map(|number| publisher.publish_to(&topic, numbered(number))));
        let (accepted, ()) = tokio::join!(accepted, expect_on(&mut subscription, &topic, 0..COUNT));
        assert!(accepted.iter().all(Result::is_ok));
        assert_eq!(subscription.try_recv(), None, "nothing comes twice");
    }
}

/// A manager that publishes to a topic and appends to a stream, without a subscription, counts as no subscriber.
pub async fn a_publisher_to_topics_counts_as_no_subscriber(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    for topic in [
        Topic::new(options.channel.clone()),
        Topic::sharded(options.channel.clone()),
    ] {
        topics.publish_to(&topic, numbered(0)).await.expect("publish");
        assert_eq!(topics.count_subscribers(&topic).await.expect("count"), 0);
    }
    assert_eq!(backend.num_consumers(&options.channel).await, 0);
}

/// A publish to a topic obeys the limits: of a message, of bytes in flight, and those of a closed manager.
pub async fn a_publish_to_a_topic_is_limited_as_any_other(backend: &dyn Backend) {
    const COUNT: usize = 200;
    let options = ManagerOptions {
        max_message_bytes: 1000,
        max_in_flight_bytes: 4096,
        ..options()
    };
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = topics_of(backend, &*manager) else {
        return;
    };
    let topic = Topic::new(options.channel.clone());
    let mut subscription = subscribed(topics, &[&topic]).await;
    let refused = topics.publish_to(&topic, padded(7, 1001)).await;
    assert_eq!(refused.expect_err("one byte too many").kind(), ErrorKind::TooLarge);
    let accepted = join_all((0..COUNT).map(|number| topics.publish_to(&topic, padded(number, 1000))));
    let (accepted, ()) = tokio::join!(accepted, expect_on(&mut subscription, &topic, 0..COUNT));
    assert!(accepted.iter().all(Result::is_ok));

    manager.close().await.expect("close");
    while soon("end of the stream", subscription.recv()).await.is_some() {}
    let published = topics.publish_to(&topic, numbered(0)).await;
    assert_eq!(published.expect_err("closed").kind(), ErrorKind::Closed);
    let subscribed = topics.subscribe_to(vec![Interest::Topic(topic.clone())]).await;
    assert_eq!(subscribed.expect_err("closed").kind(), ErrorKind::Closed);
    if has_all_kinds(backend, topics) {
        let counted = topics.count_subscribers(&topic).await;
        assert_eq!(counted.expect_err("closed").kind(), ErrorKind::Closed);
    }
}

/// `Ok` of a publish to a topic means that the broker's reply arrived: until then it waits.
pub async fn ok_of_a_topic_waits_for_the_answer_of_the_broker(backend: &dyn Backend) {
    let options = options();
    let listener = backend.manager(options.clone()).await;
    let Some(listening) = topics_of(backend, &*listener) else {
        return;
    };
    let on_a_line = backend.manager_on_link(options.clone()).await;
    if !is_supported(backend, Fault::LosesAnswers, on_a_line.is_some()) {
        return;
    }
    let (manager, line) = on_a_line.expect("it is supported");
    let topics = manager.topics().expect("each manager has topics");
    let topic = Topic::new(options.channel.clone());
    let mut subscription = subscribed(listening, &[&topic]).await;
    soon("publish", topics.publish_to(&topic, numbered(0)))
        .await
        .expect("publish");
    expect_on(&mut subscription, &topic, [0]).await;
    line.swallow_answers();
    let mut publishing = topics.publish_to(&topic, numbered(1));
    tokio::select! {
        biased;
        accepted = &mut publishing => panic!("no answer can have come: {accepted:?}"),
        () = expect_on(&mut subscription, &topic, [1]) => {}
    }
    assert!(publishing.as_mut().now_or_never().is_none(), "no answer can have come");
    line.mend();
    soon("the answer", publishing).await.expect("accepted");
}

/// While the broker is down, each call fails with a retryable error within the deadline.
pub async fn topics_fail_within_the_deadline_while_the_broker_is_down(backend: &dyn Backend) {
    let options = hasty_options(backend).await;
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = topics_of(backend, &*manager) else {
        return;
    };
    let topic = Topic::new(options.channel.clone());
    soon("publish", topics.publish_to(&topic, numbered(0)))
        .await
        .expect("publish");
    backend.stop().await;
    let started = Instant::now();
    let interests = vec![Interest::Topic(topic.clone())];
    let (published, subscribed, counted) = tokio::join!(
        topics.publish_to(&topic, numbered(1)),
        topics.subscribe_to(interests),
        topics.count_subscribers(&topic)
    );
    let took = started.elapsed();
    let mut outcomes = vec![published.err(), subscribed.err()];
    if has_all_kinds(backend, topics) {
        outcomes.push(counted.err());
    }
    for failed in outcomes {
        let failed = failed.expect("the broker is down");
        assert!(failed.is_retryable(), "{failed:?}");
    }
    assert!(took <= options.deadline + SLACK, "took {took:?}");
    backend.start().await;
}

/// A subscription yields the messages of all its topics, by name or pattern, each with the name of its topic, and no others.
pub async fn a_subscription_yields_all_its_topics_and_no_others(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let named = |suffix: &str| format!("{}{suffix}", options.channel);
    let [one, chat, room] = ["#one", "#chat#", "#chat#room#"].map(|suffix| Topic::new(named(suffix)));
    let [sharded, another] = ["#sharded", "#another"].map(|suffix| Topic::sharded(named(suffix)));
    let [other, hidden] = [Topic::new(named("#other")), Topic::sharded(named("#chat#hidden#"))];
    let mut interests: Vec<_> = [&one, &sharded, &another]
        .map(|topic| Interest::Topic(topic.clone()))
        .into();
    interests.push(Interest::Pattern(named("#chat#*").into()));
    let mut subscription = topics.subscribe_to(interests).await.expect("subscribe");
    for topic in [&other, &hidden, &one, &chat, &room, &sharded, &another] {
        topics
            .publish_to(topic, Bytes::from(topic.to_string()))
            .await
            .expect("publish");
    }
    let mut received = Vec::new();
    for _ in 0..5 {
        match next(&mut subscription).await {
            Incoming::Message(Delivery::Message { topic, message }) => {
                assert_eq!(topic, message, "the name of its topic");
                received.push(String::from_utf8_lossy(&topic).into_owned());
            }
            unexpected => panic!("expected a message, got {unexpected:?}"),
        }
    }
    received.sort();
    let mut expected = [&one, &chat, &room, &sharded, &another].map(Topic::to_string);
    expected.sort();
    assert_eq!(received, expected);
    assert_eq!(subscription.try_recv(), None, "nothing of another topic comes");
    let without = topics.subscribe_to(Vec::new()).await;
    assert_eq!(without.expect_err("no topic").kind(), ErrorKind::Config);
}

/// A restart of the broker yields a gap on topics, then messages again.
pub async fn a_broker_restart_yields_a_gap_on_topics_then_messages(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = topics_of(backend, &*manager) else {
        return;
    };
    let all = of_each_kind(backend, topics, &options.channel);
    let mut subscriptions = Vec::new();
    for (number, topic) in all.iter().enumerate() {
        subscriptions.push(subscribed(topics, &[topic]).await);
        topics.publish_to(topic, numbered(number)).await.expect("publish");
        expect_on(&mut subscriptions[number], topic, [number]).await;
    }
    backend.restart().await;
    for subscription in &mut subscriptions {
        while !matches!(next(subscription).await, Incoming::Gap { .. }) {}
    }
    for (number, topic) in all.iter().enumerate() {
        while let Err(error) = topics.publish_to(topic, numbered(number + 2)).await {
            assert!(error.is_retryable(), "{error:?}");
        }
        expect_on(&mut subscriptions[number], topic, [number + 2]).await;
    }
}

/// Subscribers of a topic count, those of a pattern and of a topic of the other kind do not; nor do those that ended.
pub async fn subscribers_of_a_topic_are_counted(backend: &dyn Backend) {
    let options = options();
    let managers = [
        backend.manager(options.clone()).await,
        backend.manager(options.clone()).await,
    ];
    let Some(topics) = all_topics_of(backend, &*managers[0]) else {
        return;
    };
    let elsewhere = managers[1].topics().expect("each manager has topics");
    for topic in [
        Topic::new(options.channel.clone()),
        Topic::sharded(options.channel.clone()),
    ] {
        let count = || async { topics.count_subscribers(&topic).await.expect("count") };
        assert_eq!(count().await, 0);
        let first = subscribed(topics, &[&topic]).await;
        assert_eq!(count().await, 1);
        let _second = subscribed(elsewhere, &[&topic]).await;
        let of_all = vec![Interest::Pattern(format!("{}*", options.channel).into())];
        let _of_all = elsewhere.subscribe_to(of_all).await.expect("subscribe");
        assert_eq!(count().await, 2);
        drop(first);
        eventually("a dropped subscription counts no more", || async { count().await == 1 }).await;
    }
    managers[1].close().await.expect("close");
    for topic in [
        Topic::new(options.channel.clone()),
        Topic::sharded(options.channel.clone()),
    ] {
        let is_alone = || async { topics.count_subscribers(&topic).await.expect("count") == 0 };
        eventually("a manager that ended counts no more", is_alone).await;
    }
}

/// Sharded topics with subscribers are found by a pattern, as long as they have some, and others are not.
///
/// Others are topics that do not match the pattern, and those that are not sharded. Subscribers of any manager count, not
/// only those of the one that is asked. Of more topics than were asked for, that many are returned, any of them; the next
/// look is not disturbed by what was left out.
///
/// A topic ends with its last subscriber: when the subscription is dropped, and when the manager is closed.
pub async fn sharded_topics_with_subscribers_are_found(backend: &dyn Backend) {
    let options = options();
    let managers = [
        backend.manager(options.clone()).await,
        backend.manager(options.clone()).await,
    ];
    let Some(topics) = all_topics_of(backend, &*managers[0]) else {
        return;
    };
    let elsewhere = managers[1].topics().expect("each manager has topics");
    let named = |suffix: &str| format!("{}{suffix}", options.channel);
    let pattern = named("#/*");
    let found = |max: usize| {
        let pattern = &pattern;
        async move {
            let mut found = topics.find_sharded(pattern, max).await.expect("find");
            found.sort();
            found
        }
    };
    assert_eq!(found(9).await, [""; 0]);
    let [one, two, other] = ["#/one#", "#/two#", "#-other"].map(|suffix| Topic::sharded(named(suffix)));
    let _plain = subscribed(topics, &[&Topic::new(named("#/plain#"))]).await;
    let first = subscribed(topics, &[&one, &other]).await;
    let _second = subscribed(elsewhere, &[&two, &one]).await;
    let [all, both] = [found(9).await, vec![one.to_string(), two.to_string()]];
    assert_eq!(all, both);
    assert_eq!(found(1).await.len(), 1);
    drop(first);
    assert_eq!(found(9).await, both);
    managers[1].close().await.expect("close");
    let are_gone = || async { found(9).await.is_empty() };
    eventually("topics without subscribers are not found", are_gone).await;
}

/// Returns the topics of a manager; `None` if the backend tells why there are none.
pub(super) fn topics_of<'a>(backend: &dyn Backend, manager: &'a dyn ClientManager) -> Option<&'a dyn Topics> {
    let topics = manager.topics();
    topics
        .filter(|_| is_supported(backend, Fault::Topics, true))
        .or_else(|| {
            assert!(!is_supported(backend, Fault::Topics, topics.is_some()));
            None
        })
}

/// As [`topics_of`], where topics of every kind are needed.
pub(super) fn all_topics_of<'a>(backend: &dyn Backend, manager: &'a dyn ClientManager) -> Option<&'a dyn Topics> {
    topics_of(backend, manager).filter(|topics| has_all_kinds(backend, *topics))
}

/// Returns whether there is more than plain topics. A manager with attachments has no more.
fn has_all_kinds(backend: &dyn Backend, topics: &dyn Topics) -> bool {
    is_supported(backend, Fault::TopicKinds, topics.attachments().is_none())
}

/// Returns the topics of a name: a plain one, and a sharded one where there are some.
fn of_each_kind(backend: &dyn Backend, topics: &dyn Topics, name: &str) -> Vec<Topic> {
    let sharded = has_all_kinds(backend, topics).then(|| Topic::sharded(name));
    [Topic::new(name)].into_iter().chain(sharded).collect()
}

/// Subscribes to topics by their names.
async fn subscribed(topics: &dyn Topics, named: &[&Topic]) -> Subscription<Delivery> {
    let interests = named.iter().map(|topic| Interest::Topic((*topic).clone()));
    topics.subscribe_to(interests.collect()).await.expect("subscribe")
}

/// Receives numbered messages of one topic, and nothing else.
pub(super) async fn expect_on(
    subscription: &mut Subscription<Delivery>,
    topic: &Topic,
    numbers: impl IntoIterator<Item = usize>,
) {
    for expected in numbers {
        match next(subscription).await {
            Incoming::Message(Delivery::Message { topic: of, message }) => {
                assert_eq!((of.as_ref(), number_of(&message)), (topic.name.as_bytes(), expected));
            }
            unexpected => panic!("expected {expected} on {topic}, got {unexpected:?}"),
        }
    }
}
