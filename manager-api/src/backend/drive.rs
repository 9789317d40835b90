//! The publishing task: connects when a message is queued, and again when the connection is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::failure::shortened;
use super::{Failure, PublishQueue, Reconnect, Role};
use crate::Error;

/// A publishing connection to a broker: the part of a [`Publisher`](super::Publisher) that a manager implements.
pub trait PublishLink: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// The failure of a connection or of an attempt to connect.
    type Failure: Failure;
    /// A connection that is ready to send.
    type Connection: Send + 'static;

    /// Opens a connection; the attempt is limited in time.
    ///
    /// # Errors
    ///
    /// The failure of the attempt. If it [is a refusal](Failure::is_refused), all waiting publishes fail at once.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Failure>> + Send;

    /// Sends queued messages and completes every job it takes, until the connection is lost or the queue
    /// [is over](PublishQueue::is_over).
    ///
    /// When the connection is lost, it calls [`lost`](PublishQueue::lost), then fails the jobs in flight, which are
    /// never sent again, and puts back the jobs that were not sent. If the future is dropped, the jobs that it holds
    /// must be completed as well.
    ///
    /// # Errors
    ///
    /// The failure that made the connection unusable.
    fn run(
        queue: &PublishQueue<Self>,
        connection: Self::Connection,
    ) -> impl Future<Output = Result<(), Arc<Self::Failure>>> + Send;

    /// Returns the broker and its address, human-readable: `Redis at localhost:6379`.
    fn place(&self) -> String;

    /// Returns the error of a publish whose deadline passed while there was a connection.
    fn timed_out(&self, deadline: Duration) -> Error;
}

/// Sends queued messages until the manager is closed and every job is complete; connects only while a message is
/// queued.
pub(super) async fn drive<L: PublishLink>(queue: Arc<PublishQueue<L>>) {
    let _guard = FailOnDrop(&queue);
    let mut reconnect = Reconnect::from_options(queue.options());
    while is_wanted(&queue).await {
        let Some(connection) = connect(&queue, &mut reconnect).await else {
            continue;
        };
        let since = Instant::now();
        let up = queue.status.connected(Role::Publishing, &queue.link.place());
        let outcome = L::run(&queue, connection).await;
        drop(up);
        if outcome.is_ok() {
            return;
        }
        let pause = reconnect.after_connection(since.elapsed());
        expiring(&queue, sleep(shortened(pause, queue.deadline()))).await;
    }
}

/// Guard that fails the remaining jobs when the task ends early: aborted by `close`, or because its runtime ends.
struct FailOnDrop<'a, L: PublishLink>(&'a PublishQueue<L>);

impl<L: PublishLink> Drop for FailOnDrop<'_, L> {
    fn drop(&mut self) {
        self.0.fail_all(|| self.0.overdue());
    }
}

/// Waits for a queued message; false once the queue is over.
async fn is_wanted<L: PublishLink>(queue: &PublishQueue<L>) -> bool {
    poll_fn(|cx| {
        queue.register(cx.waker());
        if queue.has_jobs() {
            Poll::Ready(true)
        } else if queue.is_over() {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Connects, repeatedly after failures, while a publish is queued.
async fn connect<L: PublishLink>(queue: &PublishQueue<L>, reconnect: &mut Reconnect) -> Option<L::Connection> {
    while queue.has_jobs() {
        let failure = match expiring(queue, queue.link.connect()).await {
            Ok(connection) => {
                queue.set_trouble(None);
                return Some(connection);
            }
            Err(failure) => Arc::new(failure),
        };
        queue.lost(&failure);
        let pause = sleep(shortened(reconnect.after_failure(), queue.deadline()));
        if failure.is_refused() {
            refusing(queue, &failure, pause).await;
        } else {
            expiring(queue, pause).await;
        }
    }
    None
}

/// Completes `pause`, and meanwhile fails every publish with the broker's refusal, without another attempt.
async fn refusing<L: PublishLink>(queue: &PublishQueue<L>, failure: &Arc<L::Failure>, pause: impl Future<Output = ()>) {
    let mut pause = pin!(pause);
    poll_fn(|cx| {
        queue.register(cx.waker());
        queue.fail_all(|| failure.unreachable(queue.deadline()));
        if queue.is_over() {
            Poll::Ready(())
        } else {
            pause.as_mut().poll(cx)
        }
    })
    .await;
}

/// Completes `future`, and meanwhile fails queued jobs at their deadlines.
async fn expiring<L: PublishLink, F: Future>(queue: &PublishQueue<L>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match timeout_at(queue.next_due(), &mut future).await {
            Ok(output) => return output,
            Err(_) => queue.expire(),
        }
    }
}
