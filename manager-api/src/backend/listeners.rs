//! The [`Listeners`]: the subscribers' side of listening.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::listen::Listener;
use super::{ListenLink, Status, closed};
use crate::lock::Unpoisoned;
use crate::{Error, ManagerOptions, Subscription, deadline};

/// The subscriptions of a manager, each with a task of its own on the runtime that subscribed.
///
/// Dropping it ends them.
#[derive(Debug)]
pub struct Listeners {
    options: ManagerOptions,
    status: Arc<Status>,
    is_closed: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Listeners {
    /// Creates a manager's side without subscriptions.
    pub fn new(options: &ManagerOptions, status: Arc<Status>) -> Self {
        Self {
            options: options.clone(),
            status,
            is_closed: watch::Sender::new(false),
            tasks: Mutex::default(),
        }
    }

    /// Subscribes over `link`, as [`ClientManager::subscribe`](crate::ClientManager::subscribe) specifies.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close), and those of the link: a refusal at once, an
    /// outage at the deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the subscription.
    pub async fn subscribe<L: ListenLink>(&self, link: L) -> Result<Subscription<L::Message>, Error> {
        let is_closed = self.closing()?;
        let listener = Listener {
            link,
            options: self.options.clone(),
            status: self.status.clone(),
        };
        let (ready, subscribed) = oneshot::channel();
        let task = tokio::spawn(listener.run(ready, is_closed));
        {
            let mut tasks = self.tasks();
            tasks.retain(|task| !task.is_finished());
            tasks.push(task);
        }
        subscribed.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Returns a receiver of true once the manager is closed, whose sender is dropped with the manager: for listeners
    /// that are not tasks.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    pub fn closing(&self) -> Result<watch::Receiver<bool>, Error> {
        let is_closed = self.is_closed.subscribe();
        if *is_closed.borrow() {
            return Err(closed());
        }
        Ok(is_closed)
    }

    /// Ends every subscription, completes `flush`, and waits until the tasks have left the broker, up to the deadline.
    /// Returns the outcome of `flush`.
    ///
    /// # Errors
    ///
    /// Those of `flush`.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, the subscriptions end even if the future is dropped.
    pub async fn close(&self, flush: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let until = deadline::after(self.options.deadline);
        self.is_closed.send_replace(true);
        let flushed = flush.await;
        let tasks = std::mem::take(&mut *self.tasks());
        for task in tasks {
            // One that cannot reach the broker any more ends by itself later.
            let _ = timeout_at(until, task).await;
        }
        flushed
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unpoisoned()
    }
}
