//! The command `sio`: its library, which the binary calls.
//!
//! What the user typed (`args`) becomes a validated `plan`, which is then run (`cmd`): what is wrong with the input is found
//! before anything is sent.

mod args;
mod backend;
#[cfg(feature = "connect")]
mod client;
mod cmd;
mod failure;
mod form;
mod log;
mod output;
mod plan;
mod stderr;
mod stop;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use manager_api::backend::url;

use args::Args;
use failure::Failure;
use plan::Plan;

/// Runs the command line of this process and says how it went, by the exit codes that `sio --help` lists.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            return ended(refuse_or_help(without_secrets(error)));
        }
    };
    log::init(args.quiet, args.verbose, args.log_format);
    ended(execute(args))
}

/// Says why the command failed, if it did, and waits a moment until what was logged is written.
fn ended(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else {
        stderr::flush();
        return ExitCode::SUCCESS;
    };
    if !matches!(failure, Failure::ClosedPipe | Failure::Usage) {
        output::tell(&format!("sio: {failure}"));
    }
    if let Some(hint) = failure.hint() {
        output::tell(&format!("sio: {hint}"));
    }
    stderr::flush();
    ExitCode::from(failure.code())
}

/// Prints what is wrong with the command line; or help and version, which are asked for and go to standard output.
fn refuse_or_help(error: clap::Error) -> Result<(), Failure> {
    let printed = error.print();
    if error.use_stderr() {
        return Err(Failure::Usage);
    }
    printed.map_err(output::closed)
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
    // A thread that still blocks (in a read of a terminal, say) must not keep a finished command alive.
    runtime.shutdown_background();
    result
}
