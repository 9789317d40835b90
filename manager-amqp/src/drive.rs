//! The publishing task: connects when there is something to send, and again when the connection is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lapin::Channel;
use manager_api::Backoff;
use tokio::time::{Instant, sleep, timeout_at};

use crate::connect::Link;
use crate::pipeline::Pipeline;
use crate::publish::{Queue, Trouble};

/// How long taking leave of the broker may take.
const LEAVE: Duration = Duration::from_secs(1);

/// Sends what is queued until the manager is closed and everything is answered; connects only while there is something to send.
pub(crate) async fn drive(queue: Arc<Queue>) {
    let _answers = AnswersAll(&queue);
    let mut backoff = Backoff::from_options(&queue.options.common);
    while is_wanted(&queue).await {
        let Some((link, channel)) = connect(&queue, &mut backoff).await else {
            continue;
        };
        let since = Instant::now();
        let up = queue.status.publishing(queue.connector.label());
        let mut pipeline = Pipeline::new(&queue, &link, channel);
        let outcome = poll_fn(|cx| pipeline.poll(cx)).await;
        drop(up);
        let Err(failure) = outcome else {
            drop(pipeline);
            link.close(LEAVE).await;
            return;
        };
        queue.status.failed(&failure);
        queue.set_trouble(Some(Trouble::Down(failure.clone())));
        pipeline.abandon(&failure);
        if since.elapsed() > queue.options.common.backoff_base {
            backoff.reset();
        } else {
            // A broker that closes what it accepted is not asked again and again.
            expiring(&queue, sleep(next_delay(&queue, &mut backoff))).await;
        }
    }
}

/// Answers whoever still waits when the task ends before its time: by `close`, or because its runtime ends.
struct AnswersAll<'a>(&'a Queue);

impl Drop for AnswersAll<'_> {
    fn drop(&mut self) {
        self.0.fail_all(|| self.0.overdue());
    }
}

/// Waits for something to send; false once there never will be.
async fn is_wanted(queue: &Queue) -> bool {
    poll_fn(|cx| {
        queue.task.register(cx.waker());
        match queue.has_jobs() {
            true => Poll::Ready(true),
            false if queue.is_over() => Poll::Ready(false),
            false => Poll::Pending,
        }
    })
    .await
}

/// Connects, again and again, as long as anybody waits for it.
async fn connect(queue: &Queue, backoff: &mut Backoff) -> Option<(Link, Channel)> {
    while queue.has_jobs() {
        let failure = match expiring(queue, queue.connector.open_publishing()).await {
            Ok(opened) => {
                queue.set_trouble(None);
                return Some(opened);
            }
            Err(failure) => Arc::new(failure),
        };
        queue.status.failed(&failure);
        queue.set_trouble(Some(Trouble::Down(failure.clone())));
        if failure.is_refused() {
            queue.fail_all(|| failure.unreachable(queue.deadline()));
        }
        expiring(queue, sleep(next_delay(queue, backoff))).await;
    }
    None
}

/// Several attempts fit into the deadline of a publish, however long the outage has been.
fn next_delay(queue: &Queue, backoff: &mut Backoff) -> Duration {
    backoff.next_delay().min(queue.deadline() / 4)
}

/// Completes `future`, and meanwhile fails queued jobs when they are due.
async fn expiring<F: Future>(queue: &Queue, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        // Whatever is queued from now on is due later than this.
        let due = queue.next_due().unwrap_or_else(|| Instant::now() + queue.deadline());
        match timeout_at(due, &mut future).await {
            Ok(output) => return output,
            Err(_) => queue.expire(),
        }
    }
}
