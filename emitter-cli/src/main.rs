//! The command `sio`.

use std::process::ExitCode;

/// Gives memory back after a burst, which the system's does not.
#[cfg(all(target_os = "linux", feature = "serve"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    emitter_cli::run()
}
