//! Diagnostics of this process: what is written to standard error, and what of it is for users.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::LogFormat;
use crate::{form, output, stderr};

/// The variable that replaces what `-q` and `-v` choose.
const VARIABLE: &str = "RUST_LOG";
/// Where lines of this project come from; all others are from client libraries.
const OWN_TARGETS: [&str; 14] = [
    "emitter_cli",
    "gateway",
    "embedded_broker",
    "socket_io",
    "engine_io",
    "manager_api",
    "hub",
    "bridge",
    "manager_redis",
    "manager_amqp",
    "manager_kafka",
    "manager_postgres",
    "node_wire",
    "relay",
];
/// Where it is logged, and as what, that a broker cannot be used: of a manager, and of the listener of a server.
const ABOUT_BROKERS: [(&str, Level); 2] = [("manager_api", Level::WARN), ("hub", Level::ERROR)];
/// Replaces the filter, where it may be replaced.
static RELOAD: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();
/// Whether warnings of managers are left out.
static IS_UNHEARD: AtomicBool = AtomicBool::new(false);
/// How the thread is called whose panic ends the process.
const MAIN_THREAD: &str = "main";
/// How the threads are called that run code of ours; a panic in another one is a client library's.
const OWN_THREADS: [&str; 3] = [MAIN_THREAD, "tokio-", "lines"];

/// Sends diagnostics to standard error: warnings, more with `-v`, errors only with `-q`; `RUST_LOG` overrides both.
///
/// What client libraries have to say is told by the errors of the managers, so that their own lines are shown from `-v` on only.
pub(crate) fn init(quiet: bool, verbose: u8, format: LogFormat) {
    if format == LogFormat::Json {
        form::use_json();
    }
    let mut shows_all = verbose > 0;
    let filter = match std::env::var(VARIABLE) {
        Ok(directives) if !directives.is_empty() => {
            shows_all = true;
            EnvFilter::builder().parse(&directives).map_err(Some)
        }
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
        .with_writer(Diagnostics { shows_all })
        .log_internal_errors(false);
    let may_change = !quiet && !shows_all;
    match format {
        LogFormat::Text => {
            let log = log.with_target(false).with_ansi(io::stderr().is_terminal());
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            reload_by(may_change, move |filter| drop(handle.reload(filter)));
            log.init();
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_span_list(false);
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            reload_by(may_change, move |filter| drop(handle.reload(filter)));
            log.init();
        }
    }
    std::panic::set_hook(Box::new(report));
}

/// Keeps what replaces the filter, where it may be replaced. A process has one subscriber, so that this is done once.
fn reload_by(may_change: bool, reload: impl Fn(EnvFilter) + Send + Sync + 'static) {
    if may_change {
        let _ = RELOAD.set(Box::new(reload));
    }
}

/// Chooses how much is logged, unless `-q`, `-v` or `RUST_LOG` have.
#[cfg(feature = "serve")]
pub(crate) fn set_level(level: gateway::config::LogLevel) {
    use gateway::config::LogLevel;
    let Some(reload) = RELOAD.get() else { return };
    let verbose = match level {
        LogLevel::Error => return reload(EnvFilter::builder().parse_lossy(directives(true, 0))),
        LogLevel::Warn => 0,
        LogLevel::Info => 1,
        LogLevel::Debug => 2,
        _ => 3,
    };
    reload(EnvFilter::builder().parse_lossy(directives(false, verbose)));
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

/// Leaves out that a broker cannot be used, until the answer is dropped; not where more is asked for, by `-v` or `RUST_LOG`.
pub(crate) fn without_managers() -> Unheard {
    IS_UNHEARD.store(true, Ordering::Relaxed);
    Unheard(())
}

/// Lets managers warn again, though a wait that left that out goes on.
pub(crate) fn with_managers() {
    IS_UNHEARD.store(false, Ordering::Relaxed);
}

/// Until this is dropped managers do not warn.
pub(crate) struct Unheard(());

impl Drop for Unheard {
    fn drop(&mut self) {
        with_managers();
    }
}

/// Writes lines to standard error, but those that are left out.
struct Diagnostics {
    shows_all: bool,
}

impl<'a> MakeWriter<'a> for Diagnostics {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Self::Writer {
        Box::new(StandardError)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let crate_name = metadata.target().split("::").next().unwrap_or_default();
        let is_about_brokers = ABOUT_BROKERS.contains(&(crate_name, *metadata.level()));
        match is_about_brokers && !self.shows_all && IS_UNHEARD.load(Ordering::Relaxed) {
            true => Box::new(io::sink()),
            false => self.make_writer(),
        }
    }
}

/// Standard error as a log that may be lost: a full disk, and a reader that pauses or has gone, must neither end nor stop what is logged about.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stderr::log(bytes);
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
            stderr::log(&form::lines(&backtrace.to_string()));
        }
        if name == MAIN_THREAD {
            // It may end the process, with what is not written yet.
            stderr::flush();
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

    /// Panics as a handler, a client library and the command itself would, if this process is the one to do so.
    #[test]
    fn panics_of_a_process_of_its_own() {
        if std::env::var_os(PANICS).is_none() {
            return;
        }
        init(
            false,
            u8::from(std::env::var_os(VERBOSE).is_some()) * 2,
            LogFormat::Text,
        );
        for name in ["tokio-rt-worker", "amqp-io", "main"] {
            let text = format!("from {name}\n\u{1b}[2J");
            let thread = thread::Builder::new().name(name.to_owned());
            let ended = thread.spawn(move || panic!("{text}")).unwrap().join();
            assert!(ended.is_err());
        }
        // At once, as a panic of the thread that is waited for by none ends a process.
        std::process::exit(0);
    }

    const PANICS: &str = "SIO_TEST_PANICS";
    const VERBOSE: &str = "SIO_TEST_VERBOSE";

    #[test]
    fn a_panic_of_ours_is_one_line_and_one_of_a_library_is_told_to_those_who_ask() {
        for verbose in [false, true] {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let test = "log::tests::panics_of_a_process_of_its_own";
            command.args(["--exact", test, "--nocapture"]).env(PANICS, "1");
            command
                .env_remove(VARIABLE)
                .env_remove("RUST_BACKTRACE")
                .env_remove("RUST_LIB_BACKTRACE");
            if verbose {
                command.env(VERBOSE, "1");
            }
            let done = command.output().unwrap();
            let stderr = String::from_utf8(done.stderr).unwrap();
            assert!(done.status.success(), "{stderr}");
            let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("panicked")).collect();
            assert_eq!(lines.len(), stderr.lines().count(), "nothing else is written: {stderr}");
            assert_eq!(lines.len(), if verbose { 3 } else { 2 }, "{stderr}");
            let told = |line: &&str, who: &str| line.contains(&format!("thread {who} panicked: from "));
            assert!(
                told(&lines[0], "tokio-rt-worker") && lines[0].contains("ERROR"),
                "{stderr}"
            );
            assert!(
                lines[0].contains(r"\n\u{1b}[2J") && lines[0].contains("src/log.rs:"),
                "{stderr}"
            );
            assert!(
                told(&lines[lines.len() - 1], "main"),
                "the last one is not lost: {stderr}"
            );
            assert!(!verbose || lines[1].contains("DEBUG"), "{stderr}");
        }
    }

    #[test]
    fn every_crate_of_this_project_is_heard() {
        let manifest = include_str!("../Cargo.toml");
        let names = ["embedded-broker", "gateway", "manager-", "socket-io", "engine-io"];
        let used = manifest.lines().filter_map(|line| line.split(['.', ' ']).next());
        for used in used.filter(|line| names.iter().any(|name| line.starts_with(name))) {
            assert!(OWN_TARGETS.contains(&used.replace('-', "_").as_str()), "{used}");
        }
        // A dependency of socket-io, not of this crate.
        assert!(include_str!("../../socket-io/Cargo.toml").contains("\nhub.workspace"));
        assert!(OWN_TARGETS.contains(&"hub"));
    }
}
