//! The environment of the client library's threads: a runtime of their own, and no log lines.
//!
//! The library has a thread for each connection, which obtains sockets and timers from the runtime, and
//! panics if the runtime is shut down before the connection has ended. A program may end its runtime at any
//! time; the one for these threads is therefore never shut down.

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tracing::dispatcher::{DefaultGuard, Dispatch, set_default};

static RUNTIME: OnceLock<Result<Runtime, io::ErrorKind>> = OnceLock::new();

thread_local! {
    /// The guard that suppresses log lines, until the thread ends.
    static SILENCE: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Returns the runtime that the client library's sockets and timers belong to.
///
/// # Errors
///
/// If the system cannot create a thread for it.
pub(crate) fn handle() -> io::Result<&'static Handle> {
    let make = || {
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_name("sio-amqp").enable_all();
        builder.build().map_err(|error| error.kind())
    };
    match RUNTIME.get_or_init(make) {
        Ok(runtime) => Ok(runtime.handle()),
        Err(kind) => Err((*kind).into()),
    }
}

/// Suppresses log lines on this thread, one of the client library's: the errors have what concerns users of
/// the manager, and the library's own lines repeat messages.
pub(crate) fn silence_this_thread() {
    SILENCE.with_borrow_mut(|silence| {
        silence.get_or_insert_with(|| set_default(&Dispatch::none()));
    });
}
