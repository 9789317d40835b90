//! The [`Feed`] of a subscription: its messages and gaps, counted as they are delivered.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::Status;
use crate::subscription::{Measured, SubscriptionSender, Unsubscribed};
use crate::{ManagerOptions, Subscription};

/// The sending end of a subscription, which counts in [`Status`] what it delivers.
#[derive(Debug)]
pub struct Feed<M = Bytes> {
    sender: SubscriptionSender<M>,
    status: Arc<Status>,
    max_message_bytes: usize,
}

impl<M: Measured> Feed<M> {
    /// Creates a subscription with the limits of `options`, and its feed.
    pub fn new(options: &ManagerOptions, status: Arc<Status>) -> (Self, Subscription<M>) {
        let (sender, subscription) = Subscription::channel_of(options.max_buffered_bytes);
        let feed = Self {
            sender,
            status,
            max_message_bytes: options.max_message_bytes,
        };
        (feed, subscription)
    }

    /// Returns whether a message of `len` bytes may be delivered; otherwise [`skip`](Self::skip) takes its place.
    pub fn accepts(&self, len: usize) -> bool {
        len <= self.max_message_bytes
    }

    /// Delivers one message; waits while the unread ones exceed the limit, so that the broker's own flow control
    /// applies.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the message was counted and not delivered.
    pub async fn message(&self, message: M) -> Result<(), Unsubscribed> {
        self.message_after(message, async {}).await
    }

    /// As [`message`](Self::message), and completes `before_waiting` if it has to wait.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the message was counted and not delivered.
    pub async fn message_after(
        &self,
        message: M,
        before_waiting: impl Future<Output = ()>,
    ) -> Result<(), Unsubscribed> {
        // Before it is delivered: a subscriber that has a message finds it counted.
        self.status.received();
        let mut delivered = pin!(self.sender.message(message));
        if let Some(delivered) = delivered.as_mut().now_or_never() {
            return delivered;
        }
        before_waiting.await;
        delivered.await
    }

    /// Delivers a gap in place of a message of `len` bytes, which is over the limit.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    pub fn skip(&self, len: usize) -> Result<(), Unsubscribed> {
        let limit = self.max_message_bytes;
        self.gap(format!(
            "a message of {len} bytes was skipped, which is over the limit of {limit}"
        ))
    }

    /// Delivers, counts and logs a gap: messages may have been missed at this point of the stream. Never waits.
    ///
    /// # Errors
    ///
    /// [`Unsubscribed`] when the subscription was dropped.
    pub fn gap(&self, reason: impl Into<String>) -> Result<(), Unsubscribed> {
        let reason = reason.into();
        self.status.gap(&reason);
        self.sender.gap(reason)
    }

    /// Returns whether the subscription was dropped.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Completes when the subscription is dropped.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}
