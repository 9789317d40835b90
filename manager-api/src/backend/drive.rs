//! The publishing task: connects when there is something to send, and again when the connection is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::failure::shortened;
use super::{Failure, PublishQueue, Reconnect, Role};
use crate::Error;

/// How messages get to a broker: what a manager adds to a [`Publisher`](super::Publisher).
pub trait PublishLink: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// Why there is no connection.
    type Failure: Failure;
    /// A connection that is ready to send.
    type Connection: Send + 'static;

    /// Opens a connection; the attempt is limited in time.
    ///
    /// # Errors
    ///
    /// Why there is none. If it [is a refusal](Failure::is_refused), everybody who waits is told at once.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Failure>> + Send;

    /// Sends what is queued and answers every job it takes, until the connection is lost or the queue [is over](PublishQueue::is_over).
    ///
    /// What was on its way when the connection was lost is failed and never sent again, after [`lost`](PublishQueue::lost) was told; what
    /// was not sent at all is put back. If the future is dropped, whoever still waits is answered as well.
    ///
    /// # Errors
    ///
    /// Why the connection is of no use any more.
    fn run(
        queue: &PublishQueue<Self>,
        connection: Self::Connection,
    ) -> impl Future<Output = Result<(), Arc<Self::Failure>>> + Send;

    /// Names the broker and its place for people: `Redis at localhost:6379`.
    fn place(&self) -> String;

    /// What a caller is told whose deadline passed although there is a connection.
    fn timed_out(&self, deadline: Duration) -> Error;
}

/// Sends what is queued until the manager is closed and everything is answered; connects only while there is something to send.
pub(super) async fn drive<L: PublishLink>(queue: Arc<PublishQueue<L>>) {
    let _answers = AnswersAll(&queue);
    let mut reconnect = Reconnect::from_options(queue.options());
    while is_wanted(&queue).await {
        let Some(connection) = connect(&queue, &mut reconnect).await else {
            continue;
        };
        let since = Instant::now();
        let up = queue.status.connected(Role::Publishing, &queue.line.place());
        let outcome = L::run(&queue, connection).await;
        drop(up);
        if outcome.is_ok() {
            return;
        }
        let pause = reconnect.after_connection(since.elapsed());
        expiring(&queue, sleep(shortened(pause, queue.deadline()))).await;
    }
}

/// Answers whoever still waits when the task ends before its time: by `close`, or because its runtime ends.
struct AnswersAll<'a, L: PublishLink>(&'a PublishQueue<L>);

impl<L: PublishLink> Drop for AnswersAll<'_, L> {
    fn drop(&mut self) {
        self.0.fail_all(|| self.0.overdue());
    }
}

/// Waits for something to send; false once there never will be.
async fn is_wanted<L: PublishLink>(queue: &PublishQueue<L>) -> bool {
    poll_fn(|cx| {
        queue.register(cx.waker());
        match queue.has_jobs() {
            true => Poll::Ready(true),
            false if queue.is_over() => Poll::Ready(false),
            false => Poll::Pending,
        }
    })
    .await
}

/// Connects, again and again, as long as anybody waits for it.
async fn connect<L: PublishLink>(queue: &PublishQueue<L>, reconnect: &mut Reconnect) -> Option<L::Connection> {
    while queue.has_jobs() {
        let failure = match expiring(queue, queue.line.connect()).await {
            Ok(connection) => {
                queue.set_trouble(None);
                return Some(connection);
            }
            Err(failure) => Arc::new(failure),
        };
        queue.lost(&failure);
        let pause = sleep(shortened(reconnect.after_failure(), queue.deadline()));
        match failure.is_refused() {
            true => refusing(queue, &failure, pause).await,
            false => expiring(queue, pause).await,
        }
    }
    None
}

/// Completes `pause`, and meanwhile answers every publish with what the broker said: it is not asked again so soon.
async fn refusing<L: PublishLink>(queue: &PublishQueue<L>, failure: &Arc<L::Failure>, pause: impl Future<Output = ()>) {
    let mut pause = pin!(pause);
    poll_fn(|cx| {
        queue.register(cx.waker());
        queue.fail_all(|| failure.unreachable(queue.deadline()));
        match queue.is_over() {
            true => Poll::Ready(()),
            false => pause.as_mut().poll(cx),
        }
    })
    .await;
}

/// Completes `future`, and meanwhile fails queued jobs when they are due.
async fn expiring<L: PublishLink, F: Future>(queue: &PublishQueue<L>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match timeout_at(queue.next_due(), &mut future).await {
            Ok(output) => return output,
            Err(_) => queue.expire(),
        }
    }
}
