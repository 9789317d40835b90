//! The listening task: one connection that receives, and another one whenever it is lost.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Attempts, Connected, Failure, Feed, Reconnect, Role, Status};
use crate::subscription::{Measured, Unsubscribed};
use crate::{Error, ManagerOptions, Subscription};

/// The listening side of one subscription: the part of a listener that a manager implements. [`Listeners`] drives it.
///
/// The driver calls, in this order and never two at once:
///
/// | call | when |
/// |---|---|
/// | [`open`](Self::open) | at first, until it succeeds, is refused, or the deadline passes; only then the subscriber has its subscription |
/// | [`read`](Self::read) | while there is a connection |
/// | [`lost`](Self::lost) | after `read` reported a failure; then the connection is dropped, and the failure counted and logged |
/// | [`open`](Self::open) | after a pause, without end: what was refused may be permitted again |
/// | [`resumed`](Self::resumed) | on the new connection, before anything is read from it |
/// | [`leave`](Self::leave) | at last, also if the subscription never began |
///
/// # Cancel safety
///
/// `open`, `read` and `lost` are dropped at any point when the subscription is dropped or the manager closed. What they
/// leave behind at the broker is removed by `leave`.
///
/// [`Listeners`]: super::Listeners
pub trait ListenLink: Send + Sized + 'static {
    /// The failure of a connection or of an attempt to connect.
    type Failure: Failure;
    /// A connection that receives.
    type Connection: Send + 'static;
    /// The type of the messages: [`Bytes`](bytes::Bytes), or [`Delivery`](crate::topics::Delivery) of topics.
    type Message: Measured + Send + 'static;

    /// Opens a connection; each message that is published after it completes will be received. The attempt is limited
    /// in time.
    ///
    /// # Errors
    ///
    /// The failure of the attempt. The first one that [is a refusal](Failure::is_refused) is the subscriber's error;
    /// after that it is counted, logged and followed by further attempts.
    fn open(&mut self) -> impl Future<Output = Result<Self::Connection, Self::Failure>> + Send;

    /// Delivers messages to `feed` until the connection is lost.
    ///
    /// # Errors
    ///
    /// Always: why it ended.
    fn read(
        &mut self,
        connection: &mut Self::Connection,
        feed: &Feed<Self::Message>,
    ) -> impl Future<Output = Result<Infallible, End<Self::Failure>>> + Send;

    /// Ends what uses a connection that was lost, before it is dropped.
    fn lost(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Decides whether anything may have been missed between a connection that ended with `failure` and the new one.
    fn resumed(&mut self, connection: &mut Self::Connection, failure: &Self::Failure) -> Resumed;

    /// Removes at the broker what the subscription left there, best on the connection that is still open. It limits its
    /// own duration.
    fn leave(&mut self, connection: Option<Self::Connection>) -> impl Future<Output = ()> + Send {
        async move { drop(connection) }
    }

    /// Returns the address of a connection, human-readable: `localhost:6379`.
    fn address(&self, connection: &Self::Connection) -> String;

    /// Returns the error of a subscriber whose deadline passed during the first attempt.
    fn timed_out(&self, deadline: Duration) -> Error;
}

/// Why a [`ListenLink`] reads no more.
#[derive(Debug, PartialEq, Eq)]
pub enum End<F> {
    /// The connection is unusable; another one is opened.
    Lost(F),
    /// The subscription was dropped.
    Unsubscribed,
}

impl<F> From<Unsubscribed> for End<F> {
    fn from(_: Unsubscribed) -> Self {
        Self::Unsubscribed
    }
}

impl<F: Failure> From<F> for End<F> {
    fn from(failure: F) -> Self {
        Self::Lost(failure)
    }
}

/// What a new connection means for the messages between the previous one and it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// None was missed: the broker has kept them, or it is still to be found out.
    Continues,
    /// Some may have been missed, for this reason.
    Gap(String),
}

/// The caller of `subscribe`, who waits for the first connection.
pub(super) type Ready<M> = oneshot::Sender<Result<Subscription<M>, Error>>;

/// The listening task of one subscription.
pub(super) struct Listener<L> {
    pub(super) link: L,
    pub(super) options: ManagerOptions,
    pub(super) status: Arc<Status>,
}

impl<L: ListenLink> Listener<L> {
    /// Listens until the subscription is dropped or the manager closed; completes `ready` with the first connection.
    pub(super) async fn run(mut self, ready: Ready<L::Message>, mut is_closed: watch::Receiver<bool>) {
        let mut connection = None;
        tokio::select! {
            // Also when the manager is dropped.
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            () = self.serve(ready, &mut connection) => {}
        }
        self.link.leave(connection).await;
    }

    /// Listens until the subscription is dropped. The connection is in `slot`, so that it outlives this future.
    async fn serve(&mut self, mut ready: Ready<L::Message>, slot: &mut Option<L::Connection>) {
        let opened = tokio::select! {
            opened = self.open_within_deadline() => opened,
            // The caller gave up.
            () = ready.closed() => return,
        };
        let connection = match opened {
            Ok(connection) => slot.insert(connection),
            Err(error) => return drop(ready.send(Err(error))),
        };
        let up = self.status.connected(Role::Listening, &self.link.address(connection));
        let (feed, subscription) = Feed::new(&self.options, self.status.clone());
        if ready.send(Ok(subscription)).is_err() {
            return;
        }
        tokio::select! {
            () = feed.closed() => {}
            _ = self.listen(slot, up, &feed) => {}
        }
    }

    async fn open_within_deadline(&mut self) -> Result<L::Connection, Error> {
        let mut attempts = Attempts::new(&self.options);
        loop {
            let failure = match timeout_at(attempts.until(), self.link.open()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(failure)) => Arc::new(failure),
                Err(_) => return Err(attempts.overdue(|deadline| self.link.timed_out(deadline))),
            };
            self.status.lost(&*failure);
            let error = failure.unreachable(self.options.deadline);
            let pause = sleep(attempts.failed(error.refused_if(failure.is_refused()))?);
            if timeout_at(attempts.until(), pause).await.is_err() {
                return Err(attempts.overdue(|deadline| self.link.timed_out(deadline)));
            }
        }
    }

    /// Reads, and reconnects whenever the connection is lost.
    async fn listen(
        &mut self,
        slot: &mut Option<L::Connection>,
        mut up: Connected,
        feed: &Feed<L::Message>,
    ) -> Result<(), Unsubscribed> {
        let mut reconnect = Reconnect::from_options(&self.options);
        while let Some(connection) = slot {
            let since = Instant::now();
            let failure = match self.link.read(connection, feed).await {
                Err(End::Lost(failure)) => failure,
                Err(End::Unsubscribed) => return Err(Unsubscribed),
            };
            drop(up);
            self.link.lost().await;
            // The broker must not take it for alive while the next one is opened.
            *slot = None;
            self.status.lost(&failure);
            sleep(reconnect.after_connection(since.elapsed())).await;
            let connection = slot.insert(self.reopen(&mut reconnect).await);
            up = self.status.connected(Role::Listening, &self.link.address(connection));
            if let Resumed::Gap(reason) = self.link.resumed(connection, &failure) {
                feed.gap(reason)?;
            }
        }
        Ok(())
    }

    async fn reopen(&mut self, reconnect: &mut Reconnect) -> L::Connection {
        loop {
            match self.link.open().await {
                Ok(connection) => return connection,
                Err(failure) => self.status.lost(&failure),
            }
            sleep(reconnect.after_failure()).await;
        }
    }
}
