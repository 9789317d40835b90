//! The link between a manager and its broker, for cases that break it.

use std::sync::Arc;

use async_trait::async_trait;
use manager_api::ClientManager;

use crate::Flaky;

/// The link between one manager and the broker.
#[async_trait]
pub trait Link: Send + Sync {
    /// Withholds everything that the broker sends from now on; what is sent to it arrives. [`mend`](Self::mend) delivers
    /// what was withheld, unless the link is cut first.
    fn swallow_answers(&self);

    /// Cuts every connection, and each new one until [`mend`](Self::mend). Returns when all are cut.
    async fn cut(&self);

    /// Restores the link.
    fn mend(&self);
}

/// A manager, and its link.
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
