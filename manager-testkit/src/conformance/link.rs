//! The line between a manager and its broker, for cases that break it.

use std::sync::Arc;

use async_trait::async_trait;
use manager_api::ClientManager;

use crate::Flaky;

/// What lies between one manager and the broker.
#[async_trait]
pub trait Link: Send + Sync {
    /// From now on nothing arrives that the broker says; what is said to it does. What it said meanwhile comes with [`mend`](Self::mend),
    /// unless the line is cut first.
    fn swallow_answers(&self);

    /// Cuts every connection, and each new one until [`mend`](Self::mend). Returns when all are cut.
    async fn cut(&self);

    /// Lets everything pass again.
    fn mend(&self);
}

/// A manager, and its line.
pub type OnLink = (Arc<dyn ClientManager>, Box<dyn Link>);

#[async_trait]
impl<M: ClientManager> Link for Flaky<M> {
    fn swallow_answers(&self) {
        self.swallow_replies();
    }

    async fn cut(&self) {
        Flaky::cut(self);
    }

    fn mend(&self) {
        Flaky::mend(self);
    }
}
