//! When to stop: Ctrl-C, or the polite signal of whoever started us.

/// Completes at the first SIGINT or SIGTERM.
pub(crate) async fn requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Without a handler the signal's default ends the process, which is a way to stop too.
    let _ = tokio::signal::ctrl_c().await;
}
