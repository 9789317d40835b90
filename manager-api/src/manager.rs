//! The [`ClientManager`] trait: the contract between a broker and the layers above it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::diagnosis::{Circumstances, Examination};
use crate::replay::Replay;
use crate::topics::Topics;
use crate::{Error, HostId, Subscription};

/// Carries opaque messages between processes over one channel of a broker.
///
/// Three methods are required; everything specific to Socket.IO is implemented once above them, in
/// `Hub` and `Emitter`. Every bullet below is a case of the conformance suite in `manager-testkit`.
///
/// # Delivery
///
/// - At most once: a message reaches every subscriber at most once, and is never replayed by the manager.
/// - Messages of one publisher reach a subscriber in the order in which they were published.
/// - A manager's own subscription receives its own messages too; the hub drops them by their origin.
/// - A late subscriber receives nothing earlier.
/// - Channels are isolated from each other.
///
/// # Write-only
///
/// A manager without a subscription leaves no consumer, queue or group on the broker, and connects on first use.
#[async_trait]
pub trait ClientManager: Send + Sync + 'static {
    /// Publishes one message and returns once the broker has accepted it.
    ///
    /// A manager may send from a task on the runtime of its first publish. That runtime must keep running while other
    /// runtimes use the manager: while it is blocked, no publish completes, not even at its deadline. A runtime that
    /// has ended is replaced by that of the next publish.
    ///
    /// # Behaviour
    ///
    /// - `Ok` means accepted: Redis replied, AMQP confirmed, Kafka reported delivery to all in-sync replicas,
    ///   PostgreSQL committed.
    /// - Many publishes may be in flight; they keep the order in which their futures were first polled.
    /// - Never blocks for ever: bytes in flight are bounded, beyond that it waits; after the configured deadline it
    ///   fails.
    /// - While the broker is down it waits for the connection to be re-established, up to the deadline.
    /// - Bytes of any content arrive unchanged.
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ErrorKind::Connect) or [`Timeout`](crate::ErrorKind::Timeout) when the broker is unreachable,
    /// [`Publish`](crate::ErrorKind::Publish) when it refused or the connection broke before its confirmation (the
    /// message [may have been published](crate::Error::may_have_been_published)), [`Config`](crate::ErrorKind::Config) when the configuration turns out to be
    /// unusable: an object on the broker is of another kind, or the client library does not know a property.
    /// [`TooLarge`](crate::ErrorKind::TooLarge), and [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    /// What the broker refuses permanently, such as a login or for a missing right, is a
    /// [refusal](crate::Error::is_refusal), and not retryable.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting for the confirmation; the message may still be published.
    async fn publish(&self, message: Bytes) -> Result<(), Error>;

    /// Subscribes to the channel and returns once every later publish will be received.
    ///
    /// # Behaviour
    ///
    /// - Yields messages in broker order, and [`Incoming::Gap`](crate::Incoming::Gap) whenever messages may have been
    ///   missed.
    /// - Reconnects by itself, for ever, with [`Backoff`](crate::Backoff), resubscribes, and never stops receiving
    ///   without a gap.
    /// - Dropping a pending receive loses nothing.
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ErrorKind::Connect) or [`Timeout`](crate::ErrorKind::Timeout) if the first subscription does
    /// not succeed within the configured deadline; [`Config`](crate::ErrorKind::Config) as [`publish`](Self::publish);
    /// [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no subscription behind.
    async fn subscribe(&self) -> Result<Subscription, Error>;

    /// Ends every subscription, flushes the messages passed to [`publish`](Self::publish), then releases every
    /// connection.
    ///
    /// # Behaviour
    ///
    /// - Earlier publishes are accepted or fail; none is left without a result.
    /// - Subscriptions end; a publish afterwards is [`Closed`](crate::ErrorKind::Closed). Closing twice is harmless.
    ///
    /// # Errors
    ///
    /// If the broker cannot be flushed within the configured deadline. Everything is released all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting for the flush. The manager is closed and its subscriptions end all the same;
    /// earlier publishes are still sent in the background, up to their deadline, and connections are released after
    /// that. Closing again waits again.
    async fn close(&self) -> Result<(), Error>;

    /// Returns the id under which the broker knows this manager (an AMQP queue name, a Kafka key), if it has one.
    ///
    /// A hub over this manager uses the same id. Default: none.
    fn host_id(&self) -> Option<HostId> {
        None
    }

    /// Returns the topics of the broker, for wires that use several; `None` for a broker without topics. Default: none.
    fn topics(&self) -> Option<&dyn Topics> {
        None
    }

    /// Returns the log of the channel, for what begins in the past; `None` for a broker that keeps no messages. Default:
    /// none.
    fn replay(&self) -> Option<&dyn Replay> {
        None
    }

    /// Returns the longest that a publish may take; the retries of an event with a [key](crate::IdempotencyKey) end
    /// then, too. Default: that of [`ManagerOptions`], 10 s.
    fn deadline(&self) -> Duration {
        ManagerOptions::default().deadline
    }

    /// Returns the state of the connections to the broker. Default: unknown.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Examines the broker for what keeps messages from arriving and no other method can tell: limits, other channels,
    /// addresses that clients cannot reach. Default: finds nothing.
    ///
    /// It changes nothing on the broker, and completes within `known.limit`. What the login does not permit is
    /// [not checked](Examination::not_checked). It is part of a [diagnosis](crate::doctor::diagnose).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the examination.
    async fn examine(&self, _known: Circumstances) -> Examination {
        Examination::default()
    }
}

/// Managers behind pointers are managers: so that one can be shared, and be of a kind that is chosen at run time.
macro_rules! forward {
    ($($pointer:ident),+) => {$(
        /// Forwards everything to the manager behind the pointer, at the cost of one more call and no allocation.
        impl<T: ClientManager + ?Sized> ClientManager for $pointer<T> {
            // As `async_trait` declares them, but without a box around the box that the manager makes anyway.
            fn publish<'a, 'f>(&'a self, message: Bytes) -> BoxFuture<'f, Result<(), Error>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).publish(message)
            }

            fn subscribe<'a, 'f>(&'a self) -> BoxFuture<'f, Result<Subscription, Error>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).subscribe()
            }

            fn close<'a, 'f>(&'a self) -> BoxFuture<'f, Result<(), Error>>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).close()
            }

            fn host_id(&self) -> Option<HostId> {
                (**self).host_id()
            }

            fn topics(&self) -> Option<&dyn Topics> {
                (**self).topics()
            }

            fn replay(&self) -> Option<&dyn Replay> {
                (**self).replay()
            }

            fn deadline(&self) -> Duration {
                (**self).deadline()
            }

            fn health(&self) -> Health {
                (**self).health()
            }

            fn examine<'a, 'f>(&'a self, known: Circumstances) -> BoxFuture<'f, Examination>
            where
                'a: 'f,
                Self: 'f,
            {
                (**self).examine(known)
            }
        }
    )+};
}

forward!(Arc, Box);

/// The state of a manager's connections, for health checks and metrics.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// When the publishing connection was last established; `None` while there is none.
    pub publishing_since: Option<SystemTime>,
    /// When the subscription was last established; `None` while there is none.
    pub listening_since: Option<SystemTime>,
    /// Connections that receive, of all subscriptions together; 0 where the client library connects by itself. A part of
    /// the subscriptions is interrupted while there are fewer than before.
    pub num_listening: usize,
    /// The latest failure of either, as text without secrets, and when it happened.
    pub last_error: Option<(SystemTime, String)>,
    /// Messages the broker has accepted.
    pub num_published: u64,
    /// Publishes that failed.
    pub num_publish_failures: u64,
    /// Messages the broker has accepted but could not route to any queue, where it reports that: RabbitMQ.
    pub num_unheard: u64,
    /// What other programs have sent on the channel, and was passed over: notifications of PostgreSQL, entries of a stream of
    /// Redis.
    pub num_foreign: u64,
    /// Messages received.
    pub num_received: u64,
    /// Attempts to connect that the broker refused: a wrong login, a missing right, a certificate. They are repeated,
    /// with back-off.
    pub num_refusals: u64,
    /// Gaps of subscriptions: times when messages may have been missed.
    pub num_gaps: u64,
}

/// Limits and timeouts of every manager, with the same names and defaults.
#[derive(Clone, Debug)]
pub struct ManagerOptions {
    /// The channel (Redis, PostgreSQL), exchange (AMQP) or topic (Kafka). Default `socketio`, as in python-socketio.
    pub channel: String,
    /// The longest that a publish, a subscribe or a close may take. Default 10 s; with zero, only operations that
    /// complete at once succeed.
    pub deadline: Duration,
    /// Message bytes passed to `publish` and not yet accepted; beyond that `publish` waits. A larger message is
    /// admitted alone, so that zero means one at a time. Default 64 MiB.
    pub max_in_flight_bytes: usize,
    /// The largest message, in bytes; a larger one is refused before it is sent. Default 16 MiB; zero refuses all but
    /// empty messages.
    pub max_message_bytes: usize,
    /// Message bytes received and not yet read by the subscriber; beyond that reading from the broker pauses. A larger
    /// message is admitted alone, so that zero means one at a time. Default 16 MiB.
    pub max_buffered_bytes: usize,
    /// The first wait before a reconnect; it doubles with each failure. Default 1 s. Zero never waits, because doubling
    /// keeps it zero; meant for tests.
    pub backoff_base: Duration,
    /// The longest wait before a reconnect. Default 60 s. A value below `backoff_base`, zero included, counts as
    /// `backoff_base`.
    pub backoff_cap: Duration,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        Self {
            channel: "socketio".to_owned(),
            deadline: Duration::from_secs(10),
            max_in_flight_bytes: 64 << 20,
            max_message_bytes: 16 << 20,
            max_buffered_bytes: 16 << 20,
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryBus, MemoryManager};
    use crate::{ErrorKind, Incoming};

    /// A manager in memory that has an id, and a health of its own.
    struct Named(MemoryManager);

    #[async_trait]
    impl ClientManager for Named {
        async fn publish(&self, message: Bytes) -> Result<(), Error> {
            self.0.publish(message).await
        }

        async fn subscribe(&self) -> Result<Subscription, Error> {
            self.0.subscribe().await
        }

        async fn close(&self) -> Result<(), Error> {
            self.0.close().await
        }

        fn host_id(&self) -> Option<HostId> {
            Some(HostId::from("named"))
        }

        fn deadline(&self) -> Duration {
            Duration::from_secs(3)
        }

        fn health(&self) -> Health {
            Health {
                num_gaps: 7,
                ..Health::default()
            }
        }

        async fn examine(&self, known: Circumstances) -> Examination {
            Examination {
                listeners: Some(known.own_subscriptions + 1),
                ..Examination::default()
            }
        }
    }

    async fn check(manager: impl ClientManager) {
        assert_eq!(manager.host_id(), Some(HostId::from("named")));
        assert_eq!(manager.health().num_gaps, 7);
        assert_eq!(manager.deadline(), Duration::from_secs(3));
        let examination = manager.examine(Circumstances::new(Duration::ZERO)).await;
        assert_eq!(examination.listeners, Some(1));
        let mut subscription = manager.subscribe().await.unwrap();
        manager.publish("hello".into()).await.unwrap();
        assert_eq!(subscription.recv().await, Some(Incoming::Message("hello".into())));
        manager.close().await.unwrap();
        let late = manager.publish("late".into()).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Closed);
    }

    #[tokio::test]
    async fn a_manager_behind_a_pointer_does_all_that_the_manager_does() {
        let named = || Named(MemoryBus::new().manager("socketio"));
        check(named()).await;
        check(Box::new(named())).await;
        check(Arc::new(named())).await;
        check(Box::new(named()) as Box<dyn ClientManager>).await;
        check(Arc::new(named()) as Arc<dyn ClientManager>).await;
        check(Box::new(Arc::new(named()) as Arc<dyn ClientManager>)).await;
    }
}
