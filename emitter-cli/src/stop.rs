//! Signals that ask the process to end: Ctrl-C, and that of service managers.

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The terminal was closed.
    Hangup,
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of a command that a signal ended before its work was done, as shells count: 128 and the number of the signal.
    pub(crate) fn code(self) -> u8 {
        match self {
            Signal::Hangup => 129,
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        }
    }
}

/// The signals that arrive from when this is made. They end the process no more by themselves.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

/// The signal of a terminal that was closed; none where it is ignored, as `nohup` has it.
#[cfg(target_os = "linux")]
fn hangup() -> Option<tokio::signal::unix::Signal> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let ignored = u64::from_str_radix(ignored.trim(), 16).ok()?;
    // The first bit is that of signal 1.
    (ignored & 1 == 0).then(|| tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())?
}

/// Elsewhere it ends the process by itself, where it is not ignored.
#[cfg(all(unix, not(target_os = "linux")))]
fn hangup() -> Option<tokio::signal::unix::Signal> {
    None
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn new() -> Signals {
        use tokio::signal::unix::{SignalKind, signal};
        // Without a handler the signal's default ends the process, which is a way to stop too.
        Signals {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
            hangup: hangup(),
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn new() -> Signals {
        Signals {}
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Signal {
        async fn receive(signal: &mut Option<tokio::signal::unix::Signal>) {
            if let Some(signal) = signal
                && signal.recv().await.is_some()
            {
                return;
            }
            std::future::pending().await
        }
        tokio::select! {
            () = receive(&mut self.interrupt) => Signal::Interrupt,
            () = receive(&mut self.terminate) => Signal::Terminate,
            () = receive(&mut self.hangup) => Signal::Hangup,
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}

/// Ends the process at the next signal: the command is closing down. Where SIGHUP reloads, it is not such a signal.
pub(crate) fn end_at_once(mut signals: Signals, hangup_reloads: bool) {
    tokio::spawn(async move {
        let second = loop {
            match signals.next().await {
                Signal::Hangup if hangup_reloads => {}
                second => break second,
            }
        };
        crate::output::tell(&format!("sio: {} while closing down: ended at once", second.name()));
        std::process::exit(i32::from(second.code()));
    });
}

/// The first signal that arrives after this call, polled or not; with it the command closes down, and a second signal ends the
/// process at once.
pub(crate) fn requested() -> impl Future<Output = Signal> {
    let mut signals = Signals::new();
    async move {
        let first = signals.next().await;
        end_at_once(signals, false);
        first
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_signal_that_arrives_before_the_command_waits_for_it_is_not_lost() {
        let requested = requested();
        let me = std::process::id().to_string();
        assert!(Command::new("kill").args(["-TERM", &me]).status().unwrap().success());
        assert_eq!(requested.await, Signal::Terminate);
    }
}
