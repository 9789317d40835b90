//! Cases of streams, which are topics that a broker keeps.
//!
//! Brokers trim approximately, and may or may not keep a stream when they restart: the cases accept either.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use manager_api::topics::{Delivery, Entry, Interest, Stream, Topics};
use manager_api::{ErrorKind, Incoming, ManagerOptions, Subscription};

use super::support::*;
use super::topics::all_topics_of;
use super::{Backend, Fault};

/// Entries of one publisher keep their order, and arrive with their fields unchanged, in the order of the fields.
pub async fn entries_keep_their_order_and_their_fields(backend: &dyn Backend) {
    const COUNT: usize = 500;
    let options = ManagerOptions {
        max_message_bytes: 100_000,
        ..options()
    };
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let stream = stream(&options);
    let mut subscription = read(topics, &stream, Duration::ZERO).await;
    let every_value: Vec<u8> = (0..=255).collect();
    let fields = [
        (Bytes::from_static(b"b"), Bytes::from(every_value)),
        (Bytes::from_static(b"a"), Bytes::from(vec![7; 50_000])),
        (Bytes::from_static(b"\r\n$1\r\n"), Bytes::new()),
        (Bytes::from_static(b"a"), Bytes::from_static(b"again")),
    ];
    let entry = Entry::from_iter(fields);
    topics.append(&stream, entry.clone()).await.expect("append");
    assert_eq!(next_entry(&mut subscription, &stream).await, entry);

    let publisher = backend.manager(options.clone()).await;
    let publisher = publisher.topics().expect("each manager has topics");
    let accepted = join_all((0..COUNT).map(|number| publisher.append(&stream, entry_of(number))));
    let (accepted, ()) = tokio::join!(accepted, expect_entries(&mut subscription, &stream, 0..COUNT));
    assert!(accepted.iter().all(Result::is_ok));
    assert_eq!(subscription.try_recv(), None, "nothing comes twice");

    let huge = Entry::from_iter([("f", vec![0; 100_000])]);
    let refused = topics.append(&stream, huge).await.expect_err("over the limit");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    let empty = topics.append(&stream, Entry::default()).await.expect_err("no field");
    assert_eq!(empty.kind(), ErrorKind::Config);
}

/// A subscription to a stream yields the past that it asks for, then new entries; without a past, new ones only.
pub async fn a_stream_yields_its_past_then_what_is_new(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let stream = stream(&options);
    for number in 0..300 {
        topics.append(&stream, entry_of(number)).await.expect("append");
    }
    let mut new = read(topics, &stream, Duration::ZERO).await;
    let mut all = read(topics, &stream, Duration::from_secs(3600)).await;
    for number in 300..310 {
        topics.append(&stream, entry_of(number)).await.expect("append");
    }
    expect_entries(&mut new, &stream, 300..310).await;
    expect_entries(&mut all, &stream, 0..310).await;
    assert_eq!((new.try_recv(), all.try_recv()), (None, None));
}

/// A stream is trimmed to about its length, and what is trimmed is not in its past.
pub async fn a_stream_is_trimmed(backend: &dyn Backend) {
    const COUNT: usize = 3000;
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let stream = Stream {
        max_len: 100,
        ..stream(&options)
    };
    let accepted = join_all((0..COUNT).map(|number| topics.append(&stream, entry_of(number)))).await;
    assert!(accepted.iter().all(Result::is_ok));
    let mut subscription = read(topics, &stream, Duration::from_secs(3600)).await;
    let first = next_entry(&mut subscription, &stream).await;
    let first = number_of(first.get("number").expect("a numbered entry"));
    assert!((COUNT / 2..=COUNT - 100).contains(&first), "{first}");
    expect_entries(&mut subscription, &stream, first + 1..COUNT).await;
}

/// After a restart of the broker a subscription to a stream continues: with the next entry if the broker has kept the
/// stream, and with a gap if not.
pub async fn a_stream_continues_after_a_restart(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let Some(topics) = all_topics_of(backend, &*manager) else {
        return;
    };
    let stream = stream(&options);
    let mut subscription = read(topics, &stream, Duration::ZERO).await;
    topics.append(&stream, entry_of(0)).await.expect("append");
    expect_entries(&mut subscription, &stream, [0]).await;
    backend.restart().await;
    while let Err(error) = topics.append(&stream, entry_of(1)).await {
        assert!(error.is_retryable(), "{error:?}");
    }
    loop {
        match next(&mut subscription).await {
            Incoming::Gap { .. } => {}
            Incoming::Message(Delivery::Entry { entry, .. }) => break assert_eq!(entry, entry_of(1)),
            unexpected => panic!("expected an entry, got {unexpected:?}"),
        }
    }
}

/// A lost connection costs a subscription to a stream nothing: it continues with the next entry, without a gap.
pub async fn a_stream_continues_after_a_lost_connection(backend: &dyn Backend) {
    let options = options();
    let publisher = backend.manager(options.clone()).await;
    let Some(publishing) = all_topics_of(backend, &*publisher) else {
        return;
    };
    let on_a_line = backend.manager_on_link(options.clone()).await;
    if !is_supported(backend, Fault::LosesAnswers, on_a_line.is_some()) {
        return;
    }
    let (manager, line) = on_a_line.expect("it is supported");
    let topics = manager.topics().expect("each manager has topics");
    let stream = stream(&options);
    let mut subscription = read(topics, &stream, Duration::ZERO).await;
    publishing.append(&stream, entry_of(0)).await.expect("append");
    expect_entries(&mut subscription, &stream, [0]).await;
    line.cut().await;
    for number in 1..250 {
        publishing.append(&stream, entry_of(number)).await.expect("append");
    }
    line.mend();
    expect_entries(&mut subscription, &stream, 1..250).await;
}

/// Returns a stream of the test's own.
fn stream(options: &ManagerOptions) -> Stream {
    Stream {
        name: format!("{}-stream", options.channel).into(),
        max_len: 10_000,
    }
}

/// Returns a numbered entry.
fn entry_of(number: usize) -> Entry {
    Entry::from_iter([("number", numbered(number))])
}

/// Subscribes to one stream.
async fn read(topics: &dyn Topics, stream: &Stream, past: Duration) -> Subscription<Delivery> {
    let name = stream.name.clone();
    let subscribed = topics.subscribe_to(vec![Interest::Stream { name, past }]).await;
    subscribed.expect("subscribe")
}

/// Receives an entry of a stream.
async fn next_entry(subscription: &mut Subscription<Delivery>, of: &Stream) -> Entry {
    match next(subscription).await {
        Incoming::Message(Delivery::Entry { stream, entry }) if stream == of.name => entry,
        unexpected => panic!("expected an entry, got {unexpected:?}"),
    }
}

/// Receives numbered entries of a stream, and nothing else.
async fn expect_entries(
    subscription: &mut Subscription<Delivery>,
    stream: &Stream,
    numbers: impl IntoIterator<Item = usize>,
) {
    for expected in numbers {
        assert_eq!(next_entry(subscription, stream).await, entry_of(expected));
    }
}
