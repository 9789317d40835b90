//! A mixed fleet on one channel of Redis: our server and python-socketio's, a client on each, and everybody who can emit
//! to both.

mod callbacks;
mod fleet;
mod scenarios;

use fleet::From;

/// Makes of each scenario one test for each origin.
macro_rules! from_everywhere {
    ($($origin:ident as $module:ident: [$($scenario:ident),* $(,)?]),* $(,)?) => {
        $(mod $module {
            use super::{From, scenarios};

            $(#[tokio::test]
            async fn $scenario() {
                scenarios::$scenario(From::$origin).await;
            })*
        })*
    };
}

from_everywhere! {
    // Its `disconnect` fails in the library itself.
    PythonWorker as from_a_python_worker: [payloads_arrive, routes_are_kept, rooms_are_managed],
    PythonServer as from_a_python_server: [payloads_arrive, routes_are_kept, rooms_are_managed, clients_are_disconnected],
    OurEmitter as from_our_emitter: [payloads_arrive, routes_are_kept, rooms_are_managed, clients_are_disconnected],
    OurServer as from_our_server: [payloads_arrive, routes_are_kept, rooms_are_managed, clients_are_disconnected],
}
