//! The notices by which servers tell each other that administrators are connected to one of them.

use std::sync::Arc;
use std::time::Duration;

use manager_api::Error;
use manager_api::log::{Escaped, LimitedLog, quietly};

use super::feed::AdminFeed;
use crate::connection::ClientHub;
use crate::server::SocketIo;

/// Tells the other servers that administrators watch, and for how many milliseconds.
const WATCH: &str = "sio_admin_watch";
/// Asks whether administrators are connected elsewhere: a server that has just started does not know.
const SEEK: &str = "sio_admin_seek";

/// How long other servers are taken to have administrators, and how often these servers announce it.
const WATCH_FOR: Duration = Duration::from_secs(30);
pub(super) const WATCH_EVERY: Duration = Duration::from_secs(10);

/// Registers what answers the other servers.
pub(super) fn register(io: &SocketIo, feed: &Arc<AdminFeed>) {
    let for_watch = feed.clone();
    io.on_server_event(WATCH, move |_, event| {
        let time = event.parse::<u64>().map_or(Duration::ZERO, Duration::from_millis);
        for_watch.watch_for(time.min(WATCH_FOR));
        async {}
    });
    let for_seek = feed.clone();
    io.on_server_event(SEEK, move |io, _| {
        let has_admins = for_seek.num_admins() > 0;
        async move {
            if has_admins {
                announce(io.core().hub.clone()).await;
            }
        }
    });
}

pub(super) async fn seek(hub: Arc<ClientHub>) {
    hub.subscribed().await;
    log_failed(hub.server_side_emit(SEEK, &()).await);
}

pub(super) async fn announce(hub: Arc<ClientHub>) {
    let time = u64::try_from(WATCH_FOR.as_millis()).unwrap_or(u64::MAX);
    log_failed(hub.server_side_emit(WATCH, &time).await);
}

pub(super) fn log_failed(sent: Result<(), Error>) {
    static FAILED: LimitedLog = LimitedLog::new();
    let Err(error) = sent else { return };
    if let Some(suppressed) = FAILED.pass() {
        quietly(
            || tracing::warn!(target: "socket_io", error = ?Escaped(error), suppressed, "administrators may not be told of all servers"),
        );
    }
}
