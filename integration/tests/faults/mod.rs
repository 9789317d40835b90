//! Faults: brokers that die, freeze or are cut off, and clients that misbehave.
//!
//! What each broker is put through, and where; messages are numbered, so that loss, doubles and order are seen. `C` is
//! `conformance::{redis,amqp,kafka,postgres}`, in every flavour; `E` is [`everywhere`], on all. Names are shortened with `…`.
//!
//! | fault | Redis | RabbitMQ | Kafka | PostgreSQL |
//! |---|---|---|---|---|
//! | cut off while others publish | `broker::what_passes_while_a_server_is_cut_off…` | `amqp::faults::a_listener_cut_off_under_load…`, `…a_publisher_cut_off…` | `kafka::faults::cut_connections_lose_nothing…` | `matrix::postgres::a_listener_or_a_publisher_cut_off…` |
//! | killed and restarted under load | `restart::a_restart_under_load…`, `C::a_restart_under_load…` | `C::a_restart_under_load…` | `kafka::faults::restarts_lose_nothing…`, `C` | `matrix::postgres::a_database_that_is_restarted…`, `C` |
//! | frozen for longer than every timeout | `broker::a_broker_frozen_for_longer…` | `amqp::faults::a_frozen_broker_fails…` | `kafka::outages::a_broker_frozen_for_longer…` | `matrix::postgres::a_database_that_stands_still…` |
//! | network that swallows packets | `broker::a_subscriber_over_redis_output_limit…` | `amqp::faults::a_stalled_connection_is_noticed…` | as frozen | as frozen |
//! | takes no messages while it answers | `broker::a_redis_full_of_keys_passes_messages…` (it takes them) | `amqp::faults::a_broker_out_of_memory…` | `kafka::outages::too_few_replicas…` | refuses them: `postgres::refusals` |
//! | no leader for a while | has none: `C::sentinel`, and a failover in `manager-redis` | one node here | `kafka::outages::a_topic_without_a_leader…` | one server here |
//! | a message of 33 MB | `E::a_message_of_33_megabytes…` | `E`, `amqp::faults::a_message_over_the_limit…` | `E`, `kafka::topics::a_message_of_33_megabytes…` | `E` |
//! | a message that cannot be decoded | `E::what_cannot_be_decoded…`, `C::hub::malformed_messages…` | the same | the same | the same |
//! | a listener slower than the stream | `E::a_listener_slower_than_the_stream…`, `C::a_slow_subscriber…`, `broker::a_subscriber_over…` | `E`, `C` | `E`, `C` | `E`, `C` |
//! | what leads to a listener is deleted or undone | does not exist | `matrix::amqp::*` | `matrix::kafka::a_topic_that_is_deleted…` | `postgres::log::a_schema_that_is_installed_anew…` |
//! | messages gone from the broker | keeps none | `amqp::topology::a_queue_removed_by_an_operator…` | `kafka::topics::messages_that_are_gone…` | `postgres::log::old_messages_are_deleted…`, `…what_an_operator_deletes…` |
//! | any of the above and more, seen from a listener while a second process publishes all the time | `matrix::redis` | `matrix::amqp` | `matrix::kafka` | `matrix::postgres` |
//! | no broker at the address, while publishing continues | `memory::thousands_of_failed_emits…`, `C::a_publish_while_the_broker_is_down…` | `C` | `C`, `kafka::faults::an_address_without_a_broker…` | `C` |

mod attacks;
mod broker;
mod clients;
mod everywhere;
mod matrix;
mod memory;
mod messages;
mod restart;

use integration::app::hasty;
use manager_api::{Emitter, Incoming};
use manager_redis::{RedisManager, RedisOptions};
use manager_testkit::Recorder;
use serde_json::Value;
use socket_io::SocketIo;

use crate::support::{Server, within};

const ROOM: &str = "room";
/// Every broker here belongs to one test.
const CHANNEL: &str = "socketio";

/// A server that writes down what its manager receives.
struct Host {
    server: Server,
    recorder: Recorder<RedisManager>,
}

impl Host {
    async fn start(url: &str, options: RedisOptions) -> Self {
        let recorder = Recorder::new(RedisManager::new(url, options).unwrap());
        let server = Server::start(SocketIo::builder().manager(recorder.clone())).await;
        Self { server, recorder }
    }

    fn num_gaps(&self) -> u64 {
        self.server.io.metrics().hub.gaps
    }

    /// A client of this server got exactly `seen`: all that its manager received; and of what was accepted by the broker nothing is
    /// missing but where a gap was admitted.
    fn assert_loss_is_admitted(&self, seen: &[u64], accepted: &[u64]) {
        let received = self.recorder.received();
        let numbers: Vec<_> = received.iter().filter_map(number).collect();
        assert!(
            seen == numbers,
            "the client got {} of {} received",
            seen.len(),
            numbers.len()
        );
        let out_of_order = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
        assert_eq!(out_of_order, None, "in order, nothing twice");
        let mut missing = accepted.iter().copied().peekable();
        let mut is_admitted = false;
        for incoming in &received {
            is_admitted |= matches!(incoming, Incoming::Gap { .. });
            let Some(number) = number(incoming) else { continue };
            while let Some(lost) = missing.next_if(|&accepted| accepted < number) {
                assert!(
                    is_admitted,
                    "{lost} was accepted and lost before {number} without a gap"
                );
            }
            missing.next_if_eq(&number);
            is_admitted = false;
        }
        assert_eq!(missing.next(), None, "lost at the end");
    }
}

/// The number in a message that `Load` or `Emits` published.
fn number(incoming: &Incoming) -> Option<u64> {
    let Incoming::Message(message) = incoming else {
        return None;
    };
    let message: Value = serde_json::from_slice(message).ok()?;
    message["data"][1].as_u64().filter(|_| message["event"] == "m")
}

fn emitter(url: &str) -> Emitter {
    Emitter::new(RedisManager::new(url, hasty(CHANNEL)).unwrap())
}

/// Emits `m` with the numbers of `range`, each of which must be accepted.
async fn emit_all(emitter: &Emitter, range: std::ops::Range<u64>, padding: &str) {
    for number in range {
        let emitted = emitter.to(ROOM).emit("m", &("emitter", number, padding));
        within("acceptance", emitted).await.unwrap();
    }
}

/// Emits `end`, again until it is accepted. The receivers must be subscribed by then.
async fn end(emitter: &Emitter) {
    let accepted = async { while emitter.to(ROOM).emit("end", &()).await.is_err() {} };
    within("acceptance of the end", accepted).await;
}
