//! The command `sio`.

use std::process::ExitCode;

fn main() -> ExitCode {
    emitter_cli::run()
}
