//! The listening task over a broker whose behaviour is scripted, in virtual time.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{advance, timeout};

use super::*;
use crate::backend::Listeners;
use crate::{ErrorKind, Incoming};

/// What the broker does at one attempt to connect, or with one connection.
#[derive(Clone, Copy, Debug)]
enum Act {
    Fail,
    Refuse,
    /// Accepts, and reads for so long before the connection is lost; the number of the message is delivered at once.
    Accept(Duration, u64),
    /// Never completes.
    Hang,
}

/// A broker, which remembers when it was connected to.
#[derive(Debug, Default)]
struct Broker {
    script: Mutex<VecDeque<Act>>,
    attempts: Mutex<Vec<Instant>>,
    num_lost: Mutex<usize>,
    /// Whether there was a connection when the link left.
    left: Mutex<Option<bool>>,
    keeps_messages: bool,
}

#[derive(Debug)]
struct FakeLink(Arc<Broker>);

#[derive(Debug)]
struct FakeFailure {
    number: usize,
    is_refused: bool,
}

impl fmt::Display for FakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failure {}", self.number)
    }
}

impl Failure for FakeFailure {
    fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn unreachable(self: &Arc<Self>, _: Duration) -> Error {
        Error::new(ErrorKind::Connect, self.to_string())
    }
}

impl ListenLink for FakeLink {
    type Failure = FakeFailure;
    type Connection = (Duration, u64);
    type Message = Bytes;

    async fn open(&mut self) -> Result<(Duration, u64), FakeFailure> {
        let number = {
            let mut attempts = self.0.attempts.lock().unwrap();
            attempts.push(Instant::now());
            attempts.len()
        };
        let act = self.0.script.lock().unwrap().pop_front();
        match act.unwrap_or(Act::Fail) {
            Act::Accept(lifetime, message) => Ok((lifetime, message)),
            Act::Hang => std::future::pending().await,
            act => Err(FakeFailure {
                number,
                is_refused: matches!(act, Act::Refuse),
            }),
        }
    }

    async fn read(
        &mut self,
        (lifetime, message): &mut (Duration, u64),
        feed: &Feed,
    ) -> Result<Infallible, End<FakeFailure>> {
        feed.message(Bytes::from(message.to_string())).await?;
        sleep(*lifetime).await;
        Err(End::Lost(FakeFailure {
            number: 0,
            is_refused: false,
        }))
    }

    async fn lost(&mut self) {
        *self.0.num_lost.lock().unwrap() += 1;
    }

    fn resumed(&mut self, _: &mut (Duration, u64), failure: &FakeFailure) -> Resumed {
        match self.0.keeps_messages {
            true => Resumed::Continues,
            false => Resumed::Gap(format!("reconnected after {failure}")),
        }
    }

    async fn leave(&mut self, connection: Option<(Duration, u64)>) {
        *self.0.left.lock().unwrap() = Some(connection.is_some());
    }

    fn address(&self, _: &(Duration, u64)) -> String {
        "localhost".to_owned()
    }

    fn timed_out(&self, _: Duration) -> Error {
        Error::new(ErrorKind::Timeout, "nothing answers")
    }
}

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

struct Scene {
    broker: Arc<Broker>,
    status: Arc<Status>,
    listeners: Listeners,
}

impl Scene {
    fn new(script: &[Act]) -> Self {
        Self::with(Broker {
            script: Mutex::new(script.iter().copied().collect()),
            ..Broker::default()
        })
    }

    fn with(broker: Broker) -> Self {
        let status = Arc::new(Status::new("Example"));
        Self {
            broker: Arc::new(broker),
            listeners: Listeners::new(&ManagerOptions::default(), status.clone()),
            status,
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.listeners.subscribe(FakeLink(self.broker.clone())).await
    }

    /// The time between each attempt and the next.
    fn pauses(&self) -> Vec<Duration> {
        let attempts = self.broker.attempts.lock().unwrap();
        attempts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// Waits until the link has left; returns whether there was a connection.
    async fn until_left(&self) -> bool {
        loop {
            if let Some(was_connected) = *self.broker.left.lock().unwrap() {
                return was_connected;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn until_attempt(&self, number: usize) {
        while self.broker.attempts.lock().unwrap().len() < number {
            advance(Duration::from_millis(10)).await;
        }
    }
}

async fn expect_message(subscription: &mut Subscription, number: u64) {
    let expected = Incoming::Message(Bytes::from(number.to_string()));
    assert_eq!(subscription.recv().await, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn an_outage_at_first_is_waited_out_within_the_deadline() {
    let scene = Scene::new(&[Act::Fail, Act::Fail, Act::Accept(LONG, 1)]);
    let mut subscription = scene.subscribe().await.unwrap();
    expect_message(&mut subscription, 1).await;
    let pauses = scene.pauses();
    assert_eq!(pauses.len(), 2);
    assert!(
        pauses[0] <= Duration::from_secs(1) && pauses[1] > pauses[0],
        "{pauses:?}"
    );
    let health = scene.status.health();
    assert!(health.listening_since.is_some());
    assert_eq!((health.num_received, health.num_gaps, health.num_refusals), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_over_the_deadline_is_the_error_of_the_latest_failure() {
    let scene = Scene::new(&[]);
    let begun = Instant::now();
    let error = scene.subscribe().await.unwrap_err();
    let deadline = ManagerOptions::default().deadline;
    assert_eq!(begun.elapsed().as_secs(), deadline.as_secs());
    let num_attempts = scene.broker.attempts.lock().unwrap().len();
    assert_eq!(error.to_string(), format!("failure {num_attempts}"));
    assert!(num_attempts >= 4, "several fit into the deadline: {num_attempts}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_is_a_timeout() {
    let scene = Scene::new(&[Act::Hang]);
    let error = scene.subscribe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_first_is_the_callers_error_at_once() {
    let scene = Scene::new(&[Act::Refuse]);
    let begun = Instant::now();
    let error = scene.subscribe().await.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), begun.elapsed()),
        ("failure 1", Duration::ZERO)
    );
    assert_eq!(scene.status.health().num_refusals, 1);
    assert!(!scene.until_left().await);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_later_is_unhealthy_counted_and_recorded_again_until_it_is_permitted() {
    let script = [Act::Accept(SHORT, 1), Act::Refuse, Act::Refuse, Act::Accept(LONG, 2)];
    let scene = Scene::new(&script);
    let mut subscription = scene.subscribe().await.unwrap();
    expect_message(&mut subscription, 1).await;
    for number in [2, 3] {
        scene.until_attempt(number).await;
        tokio::task::yield_now().await;
        let health = scene.status.health();
        let last_error = health.last_error.map(|(_, text)| text);
        assert_eq!(last_error, Some(format!("failure {number}")));
        assert_eq!(health.num_refusals, number as u64 - 1);
        assert!(health.listening_since.is_none(), "unhealthy");
    }
    assert!(matches!(subscription.recv().await, Some(Incoming::Gap { .. })));
    expect_message(&mut subscription, 2).await;
    assert!(scene.status.health().listening_since.is_some(), "healthy again");
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_during_an_outage_and_start_over_after_a_connection_that_worked() {
    let mut script = vec![Act::Accept(2 * Duration::from_secs(1), 1)];
    script.extend([Act::Fail; 6]);
    script.push(Act::Accept(2 * Duration::from_secs(1), 2));
    script.extend([Act::Fail, Act::Accept(LONG, 3)]);
    let scene = Scene::new(&script);
    let mut subscription = scene.subscribe().await.unwrap();
    scene.until_attempt(10).await;
    let pauses = scene.pauses();
    // The first is the lifetime of the connection, after which the next attempt follows at once.
    assert_eq!(pauses[0].as_secs(), 2);
    assert!(pauses[1..7].is_sorted(), "{pauses:?}");
    assert!(pauses[6] >= Duration::from_secs(16), "{pauses:?}");
    let after = &pauses[7..];
    assert_eq!(after[0].as_secs(), 2, "{pauses:?}");
    assert!(
        after[1] <= Duration::from_secs(1) + SHORT * 10,
        "they start over: {pauses:?}"
    );
    expect_message(&mut subscription, 1).await;
    assert_eq!(*scene.broker.num_lost.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_missed_is_a_gap_before_the_next_message() {
    let scene = Scene::new(&[Act::Accept(SHORT, 1), Act::Accept(LONG, 2)]);
    let mut subscription = scene.subscribe().await.unwrap();
    expect_message(&mut subscription, 1).await;
    let gap = Incoming::Gap {
        reason: "reconnected after failure 0".to_owned(),
    };
    assert_eq!(subscription.recv().await, Some(gap));
    expect_message(&mut subscription, 2).await;
    assert_eq!(scene.status.health().num_gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_missed_nothing_continues_without_a_gap() {
    let scene = Scene::with(Broker {
        script: Mutex::new([Act::Accept(SHORT, 1), Act::Accept(LONG, 2)].into()),
        keeps_messages: true,
        ..Broker::default()
    });
    let mut subscription = scene.subscribe().await.unwrap();
    expect_message(&mut subscription, 1).await;
    expect_message(&mut subscription, 2).await;
    assert_eq!(scene.status.health().num_gaps, 0);
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_the_subscription_during_a_pause_and_during_an_attempt() {
    for second in [Act::Fail, Act::Hang] {
        let scene = Scene::new(&[Act::Accept(SHORT, 1), second]);
        let mut subscription = scene.subscribe().await.unwrap();
        expect_message(&mut subscription, 1).await;
        scene.until_attempt(2).await;
        let begun = Instant::now();
        scene.listeners.close(async { Ok(()) }).await.unwrap();
        assert_eq!(subscription.recv().await, None, "{second:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{second:?}");
        assert!(!scene.until_left().await, "{second:?}");
        let error = scene.subscribe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_during_the_first_attempt_is_the_error_of_the_subscriber() {
    let scene = Scene::new(&[Act::Hang]);
    let mut subscribing = pin!(scene.subscribe());
    assert!(subscribing.as_mut().now_or_never().is_none());
    scene.until_attempt(1).await;
    scene.listeners.close(async { Ok(()) }).await.unwrap();
    assert_eq!(subscribing.await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(!scene.until_left().await);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_was_dropped_leaves_on_the_connection_that_is_open() {
    let scene = Scene::new(&[Act::Accept(LONG, 1)]);
    drop(scene.subscribe().await.unwrap());
    assert!(scene.until_left().await, "on the open connection");
    assert!(scene.status.health().listening_since.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_gives_up_and_a_manager_that_is_dropped_end_the_attempts() {
    let scene = Scene::new(&[Act::Hang]);
    timeout(SHORT, scene.subscribe()).await.unwrap_err();
    assert!(!scene.until_left().await);
    let scene = Scene::new(&[Act::Accept(LONG, 1)]);
    let mut subscription = scene.subscribe().await.unwrap();
    drop(scene.listeners);
    expect_message(&mut subscription, 1).await;
    assert_eq!(subscription.recv().await, None);
}
