//! Users of Kafka with minimal rights, with fewer, and with a right that is revoked.

use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::kafka::KafkaRights;
use manager_api::{ClientManager, Error, Incoming, Subscription};
use manager_kafka::{KafkaManager, KafkaOptions};
use tokio::time::{Instant, timeout};

use super::{manager, next, next_message, options};
use crate::support::{eventually, within};

/// The longest time until a refusal is reported on a busy machine: it is known at once, and not retried until the deadline, six times as long.
const SOON: Duration = Duration::from_secs(10);

/// As `docs/brokers.md` recommends for servers.
const SERVER: [&str; 3] = ["DESCRIBE", "READ", "WRITE"];

/// A broker with the topic of the options, which are patient.
async fn start() -> (KafkaRights, KafkaOptions, KafkaManager) {
    let broker = KafkaRights::start().await;
    let mut options = options();
    options.common.deadline = 3 * DEADLINE;
    options.topic.num_partitions = Some(1);
    let witness = manager(&broker.server().url(), &options);
    witness.publish("first".into()).await.unwrap();
    (broker, options, witness)
}

/// Completes with a refusal, soon, in words that name what is missing.
pub(super) async fn refusal<T>(what: impl Future<Output = Result<T, Error>>, names: &[&str]) -> Error {
    let begun = Instant::now();
    let Err(error) = within("a refusal", what).await else {
        panic!("nothing was refused");
    };
    let said = error.to_string();
    assert!(begun.elapsed() < SOON, "{said} after {:?}", begun.elapsed());
    for name in names {
        assert!(said.contains(name), "no {name:?} in: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    assert_eq!((error.is_refusal(), error.is_retryable()), (true, false), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_rights_are_enough_and_log_no_failure() {
    let (broker, options, _witness) = start().await;
    let topic = &options.common.channel;
    broker.allow("sio", topic, &SERVER).await;
    broker.allow("other", topic, &["DESCRIBE", "WRITE"]).await;
    let server = manager(&broker.url_of("sio"), &options);
    let mut subscription = within("subscribe", server.subscribe()).await.unwrap();
    let worker = manager(&broker.url_of("other"), &options);
    for publisher in [&server, &worker] {
        within("publish", publisher.publish("allowed".into())).await.unwrap();
        assert_eq!(next_message(&mut subscription).await, "allowed");
    }
    // All that a client logs about itself has come by then.
    assert_eq!(timeout(Duration::from_secs(2), subscription.recv()).await.ok(), None);
    for health in [server.health(), worker.health()] {
        assert_eq!(health.last_error, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_read_subscribing_is_an_error_that_names_it() {
    let (broker, options, _witness) = start().await;
    let topic = &options.common.channel;
    broker.allow("sio", topic, &["DESCRIBE", "WRITE"]).await;
    let server = manager(&broker.url_of("sio"), &options);
    refusal(server.subscribe(), &["Read", topic, &broker.address()]).await;
    let health = server.health();
    assert!(
        health.listening_since.is_none() && health.num_refusals > 0,
        "{health:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_write_publishing_is_an_error_that_names_it() {
    let (broker, options, _witness) = start().await;
    let topic = &options.common.channel;
    broker.allow("sio", topic, &["DESCRIBE", "READ"]).await;
    let server = manager(&broker.url_of("sio"), &options);
    refusal(server.publish("x".into()), &["Write", topic]).await;
    // If another topic may be written to, the broker refuses later, and for the message.
    broker.allow("sio", "another", &["WRITE"]).await;
    for _ in 0..2 {
        refusal(server.publish("x".into()), &["Write", topic]).await;
    }
    broker.allow("sio", topic, &["WRITE"]).await;
    within("publish", async { while server.publish("x".into()).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_describe_or_to_create_both_are_errors_that_name_it() {
    let (broker, mut options, _witness) = start().await;
    let topic = options.common.channel.clone();
    let server = manager(&broker.url_of("sio"), &options);
    refusal(server.publish("x".into()), &["Describe", &topic]).await;
    refusal(server.subscribe(), &["Describe", &topic]).await;
    options.common.channel = "not-there-yet".to_owned();
    broker.allow("sio", "not-there-yet", &SERVER).await;
    let server = manager(&broker.url_of("sio"), &options);
    refusal(server.publish("x".into()), &["Create", "not-there-yet"]).await;
    refusal(server.subscribe(), &["Create", "not-there-yet"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_is_refused_soon_and_says_why() {
    let (broker, options, _witness) = start().await;
    for (login, names) in [
        (
            "sasl.mechanism=PLAIN&sasl.username=sio&sasl.password=wr0ng",
            ["uthentication", ""],
        ),
        (
            "sasl.mechanism=PLAIN&sasl.username=unknown&sasl.password=wr0ng",
            ["uthentication", ""],
        ),
    ] {
        let server = manager(&broker.url_with(login), &options);
        let told = refusal(server.publish("x".into()), &names).await;
        assert!(!told.to_string().contains("wr0ng"), "{told}");
        refusal(server.subscribe(), &names).await;
    }
    // A login where none is asked for.
    let url = broker
        .url_of("sio")
        .replace(&broker.address(), &broker.server().address());
    let server = manager(&url, &options);
    refusal(server.publish("x".into()), &["SASL", "takes no login"]).await;
}

async fn until_message(subscription: &mut Subscription, message: &'static str) {
    within("the message", async {
        while next(subscription).await != Incoming::Message(message.into()) {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_loses_the_right_to_read_is_unhealthy_says_so_again_and_goes_on_when_it_is_back() {
    let (broker, options, witness) = start().await;
    let topic = &options.common.channel;
    for rights in [&SERVER[1..2], &SERVER] {
        broker.allow("sio", topic, &SERVER).await;
        let server = manager(&broker.url_of("sio"), &options);
        let mut subscription = within("subscribe", server.subscribe()).await.unwrap();
        witness.publish("before".into()).await.unwrap();
        until_message(&mut subscription, "before").await;

        broker.deny("sio", topic, rights).await;
        eventually("it says that it is deaf", || server.health().listening_since.is_none()).await;
        let refusals = server.health().num_refusals;
        eventually("it is refused again and again", || {
            server.health().num_refusals > refusals + 1
        })
        .await;
        let (_, said) = server.health().last_error.unwrap();
        assert!(said.contains(topic), "{said}");
        witness.publish("meanwhile".into()).await.unwrap();

        broker.allow("sio", topic, &SERVER).await;
        // Kafka has kept it: nothing was missed.
        assert_eq!(next_message(&mut subscription).await, "meanwhile");
        eventually("it listens", || server.health().listening_since.is_some()).await;
        assert_eq!(server.health().num_gaps, 0);
    }
}
