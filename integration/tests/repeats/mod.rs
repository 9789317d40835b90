//! Events with an idempotency key, over brokers whose answers are lost: each client gets them once.

mod command;
mod line;

use line::{Fleet, Line};

/// Events of each test; `SIO_TEST_REPEATS` sets another number.
fn num_events() -> u64 {
    let set = std::env::var("SIO_TEST_REPEATS").ok();
    set.map_or(5, |number| number.parse().expect("SIO_TEST_REPEATS is a number"))
}

/// Makes a module of the tests for each broker.
macro_rules! over {
    ($($module:ident),* $(,)?) => {
        $(mod $module {
            use super::{Line, command};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn an_emit_whose_answer_was_lost_is_repeated_and_each_client_gets_it_once() {
                super::an_emit_whose_answer_was_lost(Line::$module().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_job_that_another_worker_does_again_reaches_each_client_once() {
                super::a_job_that_another_worker_does_again(Line::$module().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn lines_with_keys_are_repeated_by_themselves_and_by_the_command() {
                command::lines_with_keys(Line::$module().await).await;
            }
        })*
    };
}

over! { redis, rabbitmq, kafka, postgres }

/// The connection breaks between PUBLISH and its answer: the emit publishes again by itself, and succeeds.
async fn an_emit_whose_answer_was_lost(line: Line) {
    let mut fleet = Fleet::start(line).await;
    let emitter = fleet.worker().await;
    for number in 0..num_events() {
        let emitting = fleet.emit_unanswered(&emitter, number).await;
        fleet.break_off().await;
        let accepted = fleet.within(emitting).await.unwrap();
        accepted.unwrap_or_else(|error| panic!("{number}: {error}"));
        fleet.expect_on_second(number).await;
    }
    let [one, two] = fleet.end(&emitter).await;
    // Where the client library of the broker repeats it, it drops the repeat, too: Kafka's.
    let expected = if fleet.line.repeats_by_itself() {
        0
    } else {
        num_events()
    };
    assert_eq!((one, two), (expected, expected), "the copies that servers dropped");
}

/// The worker is gone before it learns that its event was accepted, and another one does its job again.
async fn a_job_that_another_worker_does_again(line: Line) {
    let mut fleet = Fleet::start(line).await;
    for number in 0..num_events() {
        let worker = fleet.worker().await;
        let emitting = fleet.emit_unanswered(&worker, number).await;
        emitting.abort();
        drop(worker);
        fleet.break_off().await;
        let worker = fleet.worker().await;
        fleet.keyed(&worker, number).await.unwrap();
        fleet.expect_on_second(number).await;
        worker.close().await.unwrap();
    }
    let last = fleet.worker().await;
    let [one, two] = fleet.end(&last).await;
    assert!(one >= num_events() && two >= num_events(), "dropped {one} and {two}");
}
