//! The queue of what is to be sent to one client, bounded in bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manager_api::deadline;
use manager_api::lock::Unpoisoned;
use tokio::sync::Notify;

use crate::codec::Version;
use crate::limits::Limits;

/// What a queued frame costs beside its bytes: the handle, and the allocation behind it.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// How a client keeps up, as its publishers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It reads as fast as messages come.
    Fine,
    /// Its publishers should wait until it has caught up.
    Slow,
    /// It was over a limit and is being disconnected.
    Cut,
}

/// The queue between the tasks that have something for a client and the one that writes to it.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) id: u64,
    resp3: AtomicBool,
    /// A std mutex: nothing awaits while it is held.
    queue: Mutex<Queue>,
    /// Told when there is something to write, or that there will never be again.
    filled: Notify,
    /// Told when bytes were written, or the client is gone.
    drained: Notify,
    /// Told once, when the client is cut off.
    cut: Notify,
    max_outbox_bytes: usize,
    slow_bytes: usize,
    slow_grace: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// Of the frames queued and of those taken but not yet written.
    num_bytes: usize,
    slow_since: Option<Instant>,
    closed: bool,
    cut: bool,
}

impl Outbox {
    pub(crate) fn new(id: u64, limits: &Limits) -> Outbox {
        Outbox {
            id,
            resp3: AtomicBool::new(false),
            queue: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
            cut: Notify::new(),
            max_outbox_bytes: limits.max_outbox_bytes,
            slow_bytes: limits.slow_bytes,
            slow_grace: limits.slow_grace,
        }
    }

    pub(crate) fn version(&self) -> Version {
        if self.resp3.load(Ordering::Relaxed) {
            Version::Resp3
        } else {
            Version::Resp2
        }
    }

    pub(crate) fn set_version(&self, version: Version) {
        self.resp3.store(version == Version::Resp3, Ordering::Relaxed);
    }

    /// Queues a frame. Over a limit the queue is thrown away instead, and the client is to be disconnected.
    pub(crate) fn push(&self, frame: Bytes) -> Pace {
        let mut queue = self.lock();
        if queue.closed {
            return if queue.cut { Pace::Cut } else { Pace::Fine };
        }
        queue.num_bytes += frame.len() + FRAME_OVERHEAD_BYTES;
        queue.frames.push_back(frame);
        let pace = self.pace(&mut queue);
        let was_empty = queue.frames.len() == 1;
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
        pace
    }

    /// Waits until publishers may go on: the client has caught up, is gone, or its grace is over and it is cut.
    pub(crate) async fn caught_up(&self) -> Pace {
        loop {
            let drained = self.drained.notified();
            let until = match self.pace_and_deadline() {
                (Pace::Slow, Some(until)) => until,
                (pace, _) => return pace,
            };
            // Either way the answer is in the queue.
            let _ = tokio::time::timeout_at(until, drained).await;
        }
    }

    /// Waits for frames and takes all of them, in order; `None` once the outbox is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken unless it returns.
    pub(crate) async fn take(&self) -> Option<VecDeque<Bytes>> {
        loop {
            {
                let mut queue = self.lock();
                if !queue.frames.is_empty() {
                    return Some(std::mem::take(&mut queue.frames));
                }
                if queue.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Releases the bytes of frames that were written.
    pub(crate) fn written(&self, num_frames: usize, num_bytes: usize) {
        let mut queue = self.lock();
        queue.num_bytes = queue
            .num_bytes
            .saturating_sub(num_bytes + num_frames * FRAME_OVERHEAD_BYTES);
        if queue.num_bytes <= self.slow_bytes {
            queue.slow_since = None;
            drop(queue);
            self.drained.notify_waiters();
        }
    }

    /// Accepts nothing more; what is queued can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Waits until the client is cut off for being slow, which may be never.
    pub(crate) async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Whether it was cut off for being slow.
    pub(crate) fn is_cut(&self) -> bool {
        self.lock().cut
    }

    fn pace_and_deadline(&self) -> (Pace, Option<tokio::time::Instant>) {
        let mut queue = self.lock();
        let pace = if queue.closed {
            Pace::Fine
        } else {
            self.pace(&mut queue)
        };
        let until = |since: Instant| deadline::from(since.into(), self.slow_grace);
        (pace, queue.slow_since.map(until))
    }

    fn pace(&self, queue: &mut Queue) -> Pace {
        if queue.num_bytes <= self.slow_bytes {
            return Pace::Fine;
        }
        let since = *queue.slow_since.get_or_insert_with(Instant::now);
        if queue.num_bytes <= self.max_outbox_bytes && since.elapsed() < self.slow_grace {
            return Pace::Slow;
        }
        *queue = Queue {
            closed: true,
            cut: true,
            ..Queue::default()
        };
        self.filled.notify_one();
        self.drained.notify_waiters();
        self.cut.notify_one();
        Pace::Cut
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock, so a poisoned queue is as good as any.
        self.queue.lock().unpoisoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(slow_grace: Duration) -> Outbox {
        Outbox::new(
            1,
            &Limits {
                max_outbox_bytes: 1_000,
                slow_bytes: 300,
                slow_grace,
                ..Limits::default()
            },
        )
    }

    #[tokio::test]
    async fn over_the_limit_everything_is_dropped_and_the_client_cut() {
        let outbox = outbox(Duration::from_secs(60));
        assert_eq!(outbox.push(Bytes::from(vec![0; 200])), Pace::Fine);
        assert_eq!(outbox.push(Bytes::from(vec![0; 200])), Pace::Slow);
        assert_eq!(outbox.push(Bytes::from(vec![0; 600])), Pace::Cut);
        assert_eq!(outbox.take().await, None);
        assert!(outbox.is_cut());
    }

    #[tokio::test]
    async fn tiny_frames_count_with_what_they_really_cost() {
        let outbox = outbox(Duration::from_secs(60));
        let num_accepted = (0..100)
            .take_while(|_| outbox.push(Bytes::from_static(b"x")) != Pace::Cut)
            .count();
        assert_eq!(num_accepted, 1_000 / 65);
    }

    #[tokio::test]
    async fn publishers_wait_until_a_slow_client_has_caught_up() {
        let outbox = outbox(Duration::from_secs(60));
        assert_eq!(outbox.push(Bytes::from(vec![0; 400])), Pace::Slow);
        let mut waiting = std::pin::pin!(outbox.caught_up());
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        assert_eq!(outbox.take().await.map(|frames| frames.len()), Some(1));
        outbox.written(1, 400);
        assert_eq!(waiting.await, Pace::Fine);
    }

    #[tokio::test]
    async fn who_stays_slow_for_longer_than_the_grace_is_cut() {
        let outbox = outbox(Duration::from_millis(20));
        assert_eq!(outbox.push(Bytes::from(vec![0; 400])), Pace::Slow);
        assert_eq!(outbox.caught_up().await, Pace::Cut);
        assert_eq!(outbox.take().await, None);
    }

    #[tokio::test]
    async fn publishers_wait_for_a_slow_client_with_the_longest_grace() {
        let outbox = outbox(Duration::MAX);
        assert_eq!(outbox.push(Bytes::from(vec![0; 400])), Pace::Slow);
        let mut waiting = std::pin::pin!(outbox.caught_up());
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        outbox.written(1, 400);
        assert_eq!(waiting.await, Pace::Fine);
    }

    #[tokio::test]
    async fn what_was_queued_before_closing_can_be_taken() {
        let outbox = outbox(Duration::ZERO);
        outbox.push(Bytes::from_static(b"bye"));
        outbox.close();
        outbox.push(Bytes::from_static(b"late"));
        assert_eq!(outbox.take().await.map(|frames| frames.len()), Some(1));
        assert_eq!(outbox.take().await, None);
    }
}
