//! Where the client library works: on a runtime of its own, and without log lines of its own.
//!
//! It has a thread for each connection, which asks the runtime for sockets and timers, and panics if that is shut down before the connection
//! has ended. A program may end its runtime at any time, so that the one for these threads is never shut down.

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tracing::dispatcher::{DefaultGuard, Dispatch, set_default};

static RUNTIME: OnceLock<Result<Runtime, io::ErrorKind>> = OnceLock::new();

thread_local! {
    /// Kept until the thread ends.
    static SILENCE: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// The runtime that sockets and timers of the client library belong to.
///
/// # Errors
///
/// If the system has no thread left for it.
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

/// Has nothing logged on this thread, which is one of the client library: what concerns users of the manager is in its errors, and its own
/// lines repeat messages.
pub(crate) fn silence_this_thread() {
    SILENCE.with_borrow_mut(|silence| {
        silence.get_or_insert_with(|| set_default(&Dispatch::none()));
    });
}
