//! A mixed fleet on one channel of each broker: our server and python-socketio's, a client on each, and every kind of emitter
//! to both.

mod callbacks;
mod fleet;
mod keys;
mod nan;
mod scenarios;

use fleet::From;
use integration::python::PyManager;

/// Makes a module of tests for each of python-socketio's managers.
macro_rules! fleets {
    ($($manager:ident as $module:ident),* $(,)?) => {
        $(mod $module {
            use super::{From, PyManager, callbacks, keys, nan, scenarios};

            const THEIRS: PyManager = PyManager::$manager;

            // Its `disconnect` fails in the library itself.
            from_here!(PythonWorker as from_a_python_worker: [payloads_arrive, routes_are_kept, rooms_are_managed]);
            from_here!(PythonServer as from_a_python_server: [
                payloads_arrive, routes_are_kept, rooms_are_managed, clients_are_disconnected,
            ]);
            from_here!(OurEmitter as from_our_emitter: [
                payloads_arrive, routes_are_kept, rooms_are_managed, clients_are_disconnected,
            ]);
            from_here!(OurServer as from_our_server: [
                payloads_arrive, routes_are_kept, rooms_are_managed, clients_are_disconnected,
            ]);
            answers!(
                a_client_of_theirs_answers_our_emitter,
                a_client_of_theirs_answers_our_server,
                all_clients_answer_our_emitter,
                all_clients_answer_our_server,
                a_client_of_ours_answers_their_server,
                bytes_in_answers_reach_our_emitter_and_our_other_server,
            );

            #[tokio::test]
            async fn a_repeat_is_dropped_by_our_server_and_delivered_by_theirs() {
                keys::a_repeat_is_dropped_by_our_server_and_delivered_by_theirs(THEIRS).await;
            }

            #[tokio::test]
            async fn nan_from_a_worker_is_named_and_what_follows_arrives() {
                nan::nan_from_a_worker_is_named_and_what_follows_arrives(THEIRS).await;
            }
        })*
    };
}

/// Makes of each scenario one test whose commands come from one origin.
macro_rules! from_here {
    ($origin:ident as $module:ident: [$($scenario:ident),* $(,)?]) => {
        mod $module {
            use super::{From, THEIRS, scenarios};

            $(#[tokio::test]
            async fn $scenario() {
                scenarios::$scenario(THEIRS, From::$origin).await;
            })*
        }
    };
}

/// Makes of each exchange of questions and answers one test.
macro_rules! answers {
    ($($exchange:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $exchange() {
            callbacks::$exchange(THEIRS).await;
        })*
    };
}

fleets! {
    Redis as redis,
    Kombu as kombu,
    AioPika as aio_pika,
    Kafka as kafka,
}
