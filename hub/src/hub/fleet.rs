//! The other servers: the namespaces that this one shares with them, and those that its requests wait for.

use manager_api::cluster::in_time;
use manager_api::wire::Servers;
use manager_api::{Error, NamespaceName};
use tokio::time::Instant;

use super::Hub;
use crate::deliver::Deliver;

impl<D: Deliver> Hub<D> {
    /// Receives the messages about a namespace from now on, on a wire with topics for each.
    pub fn attend_namespace(&self, namespace: &NamespaceName) {
        if let Some(messenger) = &self.messenger {
            messenger.attend(namespace);
        }
    }

    /// Ends what [`attend_namespace`](Self::attend_namespace) began.
    pub fn leave_namespace(&self, namespace: &NamespaceName) {
        if let Some(messenger) = &self.messenger {
            messenger.leave(namespace);
        }
    }

    /// Returns the other servers that a request about a namespace waits for; `None` if it goes to none.
    pub(super) async fn servers_in_time(
        &self,
        others: bool,
        namespace: &NamespaceName,
        deadline: Instant,
    ) -> Result<Option<Servers>, Error> {
        match self.messenger.as_ref().filter(|_| others) {
            Some(messenger) => self.within(deadline, messenger.servers(namespace)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Runs a step of a request, limited by the deadline of the whole.
    pub(super) async fn within<T>(
        &self,
        deadline: Instant,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        in_time(self.manager().map(|manager| &**manager), deadline, step).await
    }
}
