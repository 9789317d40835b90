//! Events with a key, by which servers drop repeats.

use std::sync::Arc;

use super::Broadcast;
use crate::id::{IdempotencyKey, IntoIdempotencyKey};
use crate::{Error, ErrorKind};

impl Broadcast {
    /// Names the event by a key, so that each client receives it once although it is emitted several times: by a worker
    /// that did not learn whether its first attempt succeeded, or by two workers that do the same job. Default: none.
    ///
    /// Servers remember the key of an event for some minutes (`HubOptions::idempotency_window`, 5 min by default) and
    /// drop events of the same namespace with the same key, regardless of their names, arguments and rooms. The key is an
    /// [`IdempotencyKey`] or text.
    ///
    /// # Behaviour
    ///
    /// - An emit with a key is retried by itself while the error [says so](Error::is_retryable), with back-off, up to
    ///   the [deadline](crate::ClientManager::deadline) of the manager. Other events that were emitted meanwhile
    ///   may arrive before it.
    /// - A client that stays connected to one server receives the event once, however often it is emitted within the
    ///   window. A client that changes from one server to another may receive it again if the other one did not receive
    ///   the first copy: it was not running, or it reports a gap.
    /// - A repeat is not acknowledged: the clients' acknowledgements belong to the emit that was delivered first. The
    ///   retries of one call are one emit. The receipt of a repeat counts the clients that were handed the first copy.
    /// - Servers of python-socketio do not know keys and deliver every copy.
    /// - The wires of Node's adapters cannot carry a key: the emit is refused.
    /// - Requests and commands (`enter_room`, `disconnect`, …) do not use the key: they may be repeated without one.
    ///
    /// ```no_run
    /// # async fn example(emitter: manager_api::Emitter, job: u64) -> Result<(), manager_api::Error> {
    /// emitter.to("lobby").idempotency_key(format!("job-{job}")).emit("job done", &job).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn idempotency_key(mut self, key: impl IntoIdempotencyKey) -> Self {
        let key = key.into_idempotency_key();
        self.key = Some(key.map_err(|error| error.to_string().into()));
        self
    }
}

/// Returns the key, unless it was text that is not valid.
pub(super) fn checked(key: Option<Result<IdempotencyKey, Arc<str>>>) -> Result<Option<IdempotencyKey>, Error> {
    key.transpose().map_err(|text| Error::new(ErrorKind::Config, &*text))
}
