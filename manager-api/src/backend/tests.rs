//! A link to a broker that accepts every message.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{Error, ManagerOptions};

#[derive(Debug)]
struct AcceptingLink;

/// Connecting never fails.
#[derive(Debug)]
struct NoFailure;

impl fmt::Display for NoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no failure")
    }
}

impl Failure for NoFailure {
    fn is_refused(&self) -> bool {
        false
    }

    fn unreachable(self: &Arc<Self>, _: Duration) -> Error {
        closed()
    }
}

impl PublishLink for AcceptingLink {
    type Failure = NoFailure;
    type Connection = ();

    async fn connect(&self) -> Result<(), NoFailure> {
        // So that two publishes meet in the queue.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn run(queue: &PublishQueue<Self>, (): ()) -> Result<(), Arc<NoFailure>> {
        poll_fn(|cx| {
            queue.register(cx.waker());
            while let Some(mut job) = queue.next_job() {
                queue.accept(&mut job);
                queue.release(1, job.cost());
            }
            if queue.is_over() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn place(&self) -> String {
        "localhost".to_owned()
    }

    fn timed_out(&self, _: Duration) -> Error {
        closed()
    }
}

#[tokio::test]
async fn publishes_that_may_wait_for_ever_do_not_panic() {
    let options = ManagerOptions {
        deadline: Duration::MAX,
        // The second one waits for capacity.
        max_in_flight_bytes: 1,
        ..ManagerOptions::default()
    };
    let publisher = Publisher::new(AcceptingLink, &options, Arc::new(Status::new("a broker")));
    let publish = || publisher.publish(Bytes::from_static(b"x"));
    let (first, second) = tokio::join!(publish(), publish());
    first.unwrap();
    second.unwrap();
    publisher.close().await.unwrap();
}
