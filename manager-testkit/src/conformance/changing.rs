//! Cases of subscriptions to topics that change while they run.
//!
//! Each case takes topics of both kinds under the same names, so that a manager that mixes them up is noticed:
//!
//! | case | a manager fails it that |
//! |---|---|
//! | [`topics_are_added_and_removed_while_a_subscription_runs`] | confirms too early, keeps what was removed, reports a gap for a change, yields a message twice that has a pattern and a name |
//! | [`a_topic_ends_as_it_was_asked_for_last`] | carries out changes in another order than they were asked for, forgets one, or has no limit |
//! | [`a_broker_restart_keeps_the_topics_that_are_wanted_then`] | subscribes again to what was wanted at first |

use manager_api::topics::{Delivery, Interest, Interests, Topic, Topics};
use manager_api::{ErrorKind, Incoming, Subscription};

use super::Backend;
use super::support::*;
use super::topics::{all_topics_of, expect_on};

/// The limit of a subscription's topics in these cases. It is reached in one of them, so that it is low.
const MAX: usize = 1_000;

/// Subscribes to nothing yet. The subscription is established nevertheless: what fails is known at once, and a topic
/// that is added needs no connection first.
async fn changing(topics: &dyn Topics) -> (Interests, Subscription<Delivery>) {
    let (interests, changes) = Interests::channel(Vec::new(), MAX).expect("none is not too many");
    let subscription = topics.subscribe_to_changing(changes).await.expect("subscribe");
    (interests, subscription)
}

/// Returns topics of both kinds under the same names: `count` names, twice as many topics. Those of one name stand side
/// by side.
fn both_kinds(channel: &str, count: usize) -> Vec<Topic> {
    let names = (0..count).map(|number| format!("{channel}-{number}"));
    names
        .flat_map(|name| [Topic::new(name.clone()), Topic::sharded(name)])
        .collect()
}

/// Topics are added to a subscription that runs and removed from it, by name and by pattern, without a gap.
pub async fn topics_are_added_and_removed_while_a_subscription_runs(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let (interests, mut subscription) = changing(topics).await;
    let all = both_kinds(&options.channel, 20);
    let named = |topic: &Topic| Interest::Topic(topic.clone());
    for round in 0..3 {
        let wanted = all.iter().map(named).collect();
        soon("confirm", interests.subscribe(wanted)).await.expect("subscribe");
        for topic in &all {
            assert_eq!(topics.count_subscribers(topic).await.expect("count"), 1, "{topic}");
            topics.publish_to(topic, numbered(round)).await.expect("publish");
            expect_on(&mut subscription, topic, [round]).await;
        }
        for topic in &all {
            interests.remove(&named(topic));
        }
        for topic in &all {
            let is_gone = || async { topics.count_subscribers(topic).await.expect("count") == 0 };
            eventually("a removed topic counts no more", is_gone).await;
            topics.publish_to(topic, numbered(100)).await.expect("publish");
        }
    }
    // A pattern, and a name that matches it: nothing comes twice.
    let (pattern, plain) = (Interest::Pattern(format!("{}*", options.channel).into()), &all[0]);
    let both = vec![pattern.clone(), named(plain)];
    soon("confirm", interests.subscribe(both)).await.expect("subscribe");
    topics.publish_to(plain, numbered(1)).await.expect("publish");
    interests.remove(&named(plain));
    let is_gone = || async { topics.count_subscribers(plain).await.expect("count") == 0 };
    eventually("a removed topic counts no more", is_gone).await;
    topics.publish_to(plain, numbered(2)).await.expect("publish");
    expect_on(&mut subscription, plain, [1, 2]).await;
    assert_eq!(subscription.try_recv(), None, "nothing comes twice, and no gap");
}

/// Topics that are added and removed faster than the broker replies end as they were asked for last, within the limit.
///
/// Each of 60 topics changes 40 times, without a wait for the broker in between; the other tasks run once for each round.
/// Then the broker knows the 30 that are wanted, and no other.
pub async fn a_topic_ends_as_it_was_asked_for_last(backend: &dyn Backend) {
    const COUNT: usize = 30;
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let (interests, mut subscription) = changing(topics).await;
    let all = both_kinds(&options.channel, COUNT);
    for step in 0..40 {
        for (number, topic) in all.iter().enumerate() {
            match (step + number) % 2 {
                0 => interests.add(Interest::Topic(topic.clone())).expect("add"),
                _ => interests.remove(&Interest::Topic(topic.clone())),
            }
        }
        tokio::task::yield_now().await;
    }
    // The last step was odd: the topics of odd numbers are wanted.
    assert_eq!(interests.len(), COUNT);
    let wanted: Vec<_> = all.iter().skip(1).step_by(2).collect();
    for (number, topic) in all.iter().enumerate() {
        let expected = (number % 2) as u64;
        let is_so = || async { topics.count_subscribers(topic).await.expect("count") == expected };
        eventually("a topic ends as it was asked for last", is_so).await;
    }
    let confirmed = wanted.iter().map(|topic| Interest::Topic((*topic).clone()));
    soon("confirm", interests.subscribe(confirmed.collect()))
        .await
        .expect("subscribe");
    for topic in &all {
        topics.publish_to(topic, numbered(7)).await.expect("publish");
    }
    let mut num_received = 0;
    while num_received < wanted.len() {
        match next(&mut subscription).await {
            Incoming::Message(_) => num_received += 1,
            unexpected => panic!("expected a message, got {unexpected:?}"),
        }
    }
    assert_eq!(subscription.try_recv(), None, "nothing of a topic that is not wanted");

    for number in COUNT..MAX {
        let name = format!("{}-more-{number}", options.channel);
        interests.add(Interest::Topic(Topic::new(name))).expect("add");
    }
    let over = Interest::Topic(Topic::new(format!("{}-over", options.channel)));
    let refused = interests.add(over.clone()).expect_err("one too many");
    assert_eq!(refused.kind(), ErrorKind::Busy);
    drop(subscription);
    let is_closed = || async {
        let counted = topics.count_subscribers(&all[1]).await.expect("count") == 0;
        let refused = interests.subscribe(vec![over.clone()]).await.err();
        counted && refused.is_some_and(|error| error.kind() == ErrorKind::Closed)
    };
    eventually("a subscription that was dropped takes no topics", is_closed).await;
}

/// After a restart of the broker the topics that are wanted then are received: those that were added while it was down,
/// too, and those that were removed are not.
pub async fn a_broker_restart_keeps_the_topics_that_are_wanted_then(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let (interests, mut subscription) = changing(topics).await;
    let all = both_kinds(&options.channel, 3);
    let named = |topic: &Topic| Interest::Topic(topic.clone());
    let [kept, removed, added] = [0, 1, 2].map(|number| &all[2 * number..2 * number + 2]);
    let first = kept.iter().chain(removed).map(named).collect();
    soon("confirm", interests.subscribe(first)).await.expect("subscribe");
    backend.stop().await;
    removed.iter().for_each(|topic| interests.remove(&named(topic)));
    added.iter().for_each(|topic| interests.add(named(topic)).expect("add"));
    backend.start().await;
    while !matches!(next(&mut subscription).await, Incoming::Gap { .. }) {}
    let wanted = kept.iter().chain(added).map(named).collect();
    soon("confirm", interests.subscribe(wanted)).await.expect("subscribe");
    for topic in removed.iter().chain(kept).chain(added) {
        while let Err(error) = topics.publish_to(topic, numbered(1)).await {
            assert!(error.is_retryable(), "{error:?}");
        }
    }
    let mut received = 0;
    while received < kept.len() + added.len() {
        if let Incoming::Message(Delivery::Message { topic, .. }) = next(&mut subscription).await {
            assert!(
                removed.iter().all(|removed| removed.name.as_bytes() != topic),
                "{topic:?}"
            );
            received += 1;
        }
    }
}
