//! Diagnostics of this process: what is written to standard error, and what of it is for users.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::thread;

use tracing_subscriber::filter::EnvFilter;

use crate::output;

/// The variable that replaces what `-q` and `-v` choose.
const VARIABLE: &str = "RUST_LOG";
/// Where lines of this project come from; all others are from client libraries.
const OWN_TARGETS: [&str; 7] = [
    "emitter_cli",
    "socket_io",
    "engine_io",
    "manager_api",
    "manager_redis",
    "manager_amqp",
    "manager_kafka",
];
/// How the threads are called that run code of ours; a panic in another one is a client library's.
const OWN_THREADS: [&str; 3] = ["main", "tokio-", "lines"];

/// Sends diagnostics to standard error: warnings, more with `-v`, errors only with `-q`; `RUST_LOG` overrides both.
///
/// What client libraries have to say is told by the errors of the managers, so that their own lines are shown from `-v` on only.
pub(crate) fn init(quiet: bool, verbose: u8) {
    let filter = match std::env::var(VARIABLE) {
        Ok(directives) if !directives.is_empty() => EnvFilter::builder().parse(&directives).map_err(Some),
        _ => Err(None),
    };
    let filter = filter.unwrap_or_else(|bad| {
        if let Some(bad) = bad {
            output::tell(&format!("sio: {VARIABLE} is ignored: {bad}"));
        }
        EnvFilter::builder().parse_lossy(directives(quiet, verbose))
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| StandardError)
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    log.init();
    std::panic::set_hook(Box::new(report));
}

/// The filter for `-q` and `-v`: a level for client libraries, and one for each crate of this project.
fn directives(quiet: bool, verbose: u8) -> String {
    let (libraries, own) = match (quiet, verbose) {
        (true, _) => ("off", "error"),
        (false, 0) => ("off", "warn"),
        (false, 1) => ("warn", "info"),
        (false, 2) => ("info", "debug"),
        (false, _) => ("trace", "trace"),
    };
    let own = OWN_TARGETS.map(|target| format!("{target}={own}"));
    format!("{libraries},{}", own.join(","))
}

/// Standard error as a log that may be lost: a full disk or a reader that has gone must not end what is logged about.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs a panic: as an error where it is ours, for `-vv` where a client library's thread ends with it.
fn report(panic: &PanicHookInfo<'_>) {
    let current = thread::current();
    let name = current.name().unwrap_or("unnamed");
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    let text = output::printable(payload_text(panic.payload()));
    if OWN_THREADS.iter().any(|own| name.starts_with(own)) {
        tracing::error!(place, "thread {name} panicked: {text}");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            output::tell(&backtrace.to_string());
        }
    } else {
        tracing::debug!(place, "thread {name} of a library panicked: {text}");
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of unknown cause")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_libraries_are_silent_until_more_is_asked_for() {
        for (quiet, verbose, libraries, own) in [
            (true, 0, "off", "error"),
            (false, 0, "off", "warn"),
            (false, 1, "warn", "info"),
            (false, 2, "info", "debug"),
            (false, 9, "trace", "trace"),
        ] {
            let directives = directives(quiet, verbose);
            assert!(
                directives.starts_with(&format!("{libraries},emitter_cli={own},")),
                "{directives}"
            );
            assert!(EnvFilter::builder().parse(&directives).is_ok(), "{directives}");
        }
    }

    #[test]
    fn every_crate_of_this_project_is_heard() {
        let manifest = include_str!("../Cargo.toml");
        let names = ["manager-", "socket-io", "engine-io"];
        let used = manifest.lines().filter_map(|line| line.split(['.', ' ']).next());
        for used in used.filter(|line| names.iter().any(|name| line.starts_with(name))) {
            assert!(OWN_TARGETS.contains(&used.replace('-', "_").as_str()), "{used}");
        }
    }
}
