//! The end of an engine.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::CloseReason;
use crate::engine::{Engine, Inner};

/// The time that a shutdown waits for sessions to finish their work.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that clients have to take what waits for them when a shutdown begins.
const SHUTDOWN_FLUSH: Duration = Duration::from_millis(500);

/// How often a shutdown looks for sessions that slipped in.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(50);

impl Engine {
    /// Refuses new sessions, closes all others with [`CloseReason::ServerShutdown`], and returns when all are done, or
    /// after ten seconds.
    ///
    /// Clients have half a second to take what waits for them; the rest of the time is for the work of sessions.
    ///
    /// # Cancel safety
    /// Sessions keep closing when the future is dropped.
    pub async fn shutdown(&self) {
        self.0.shut.store(true, Ordering::SeqCst);
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.0.drain()).await.is_err() {
            let sessions = self.0.live.load(Ordering::SeqCst);
            tracing::warn!(target: "engine_io", sessions, "sessions were still at work after the shutdown");
        }
    }
}

impl Inner {
    /// Closes all sessions, and completes when their work is done.
    async fn drain(&self) {
        let flushed = Instant::now() + SHUTDOWN_FLUSH;
        loop {
            let is_late = Instant::now() >= flushed;
            // Also those that slipped in while the flag was being set.
            for shared in self.sessions.all() {
                match is_late {
                    true => shared.fail(CloseReason::ServerShutdown),
                    false => shared.close(CloseReason::ServerShutdown),
                }
            }
            let drained = async {
                loop {
                    let notified = self.drained.notified();
                    tokio::pin!(notified);
                    notified.as_mut().enable();
                    if self.live.load(Ordering::SeqCst) == 0 && self.sessions.is_empty() {
                        return;
                    }
                    notified.await;
                }
            };
            if tokio::time::timeout(SHUTDOWN_LOOK, drained).await.is_ok() {
                return;
            }
        }
    }

    pub(crate) fn wake_shutdown(&self) {
        if self.shut.load(Ordering::SeqCst) {
            self.drained.notify_waiters();
        }
    }
}
