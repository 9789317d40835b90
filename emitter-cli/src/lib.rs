//! The command `sio`, as a library so that tests and examples can start its parts.
//!
//! What the user typed (`args`) becomes a validated `plan`, which is then run (`cmd`): whatever is wrong with the input is found
//! before anything is sent.

mod app;
mod args;
mod backend;
pub mod broker;
mod cmd;
mod failure;
mod output;
mod plan;
mod stop;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use manager_api::backend::url;

use args::Args;
use failure::Failure;
use plan::Plan;

/// Runs the command line of this process and says how it went: 0 all done, 1 the broker, 2 the input.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let error = without_secrets(error);
            // Help and version are asked for, and go to standard output: a closed pipe is no failure of theirs.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    init_log(&args);
    match execute(args) {
        Ok(()) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sio: {failure}");
            if let Some(hint) = failure.hint() {
                eprintln!("sio: {hint}");
            }
            ExitCode::from(failure.code())
        }
    }
}

/// An error of the command line repeats what was typed: a URL, if it stands in the wrong place.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidValue,
        ContextKind::InvalidSubcommand,
    ] {
        if let Some(ContextValue::String(typed)) = error.get(kind)
            && typed.contains("://")
        {
            let shown = url::shown(typed).to_string();
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

fn execute(args: Args) -> Result<(), Failure> {
    let plan = Plan::new(args)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().map_err(Failure::system("cannot start"))?;
    let result = runtime.block_on(cmd::run(plan));
    // Whatever still blocks (a read of a terminal, say) must not keep a finished command alive.
    runtime.shutdown_background();
    result
}

/// Diagnostics go to standard error: warnings, more with `-v`, errors only with `-q`; `RUST_LOG` overrides both.
fn init_log(args: &Args) {
    use std::io::IsTerminal;
    use tracing_subscriber::filter::{EnvFilter, LevelFilter};
    let level = match (args.quiet, args.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    log.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
}
