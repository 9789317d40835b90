//! Brokers that die, freeze and cut off, and clients that misbehave.

mod broker;
mod clients;
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
