//! The rights that an emitter needs on Redis, as `docs/node.md` lists them.

use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::RedisBroker;
use integration::brokers::redis::ask;
use manager_api::{Emitter, Error, ErrorKind};

use super::fleet::{Fleet, Wire, emitter_on};

/// What a request has for which a right is missing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Rights of an emitter that expects no response, and the further ones of one that sends requests.
fn rights(wire: Wire, prefix: &str) -> (Vec<String>, Vec<String>) {
    let (emits, requests) = match wire {
        Wire::Classic | Wire::ClassicSpecific => {
            ("+publish &P#* &P-request#*", "+subscribe +pubsub|numsub &P-response#*")
        }
        Wire::Sharded => ("+spublish &P#*", "+ssubscribe +pubsub|shardnumsub"),
        Wire::Streams => ("+xadd ~P", "+publish +subscribe +pubsub|numsub &P#*"),
        Wire::StreamsTwo => ("+xadd ~P-*", "+publish +subscribe +pubsub|numsub &P#*"),
        Wire::StreamsSharded => ("+xadd ~P", "+spublish +ssubscribe +pubsub|shardnumsub &P#*"),
        Wire::StreamsOld => ("+xadd ~P", "+xread +xinfo +time"),
        Wire::Postgres => panic!("its rights are those of another broker"),
    };
    let words = |text: &str| text.split(' ').map(|word| word.replace('P', prefix)).collect();
    (words(emits), words(requests))
}

/// Makes a user with rights, and returns the URL of the Redis for it.
async fn user_with(broker: &RedisBroker, name: &str, rights: &[String]) -> String {
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER")
        .arg(name)
        .arg(&["reset", "on", ">pw", "resetchannels", "-@all"]);
    set.arg(rights);
    ask::<()>(&broker.url(), &set).await.unwrap();
    format!("redis://{name}:pw@{}", broker.address())
}

#[tokio::test]
async fn the_documented_rights_are_enough_and_each_is_needed() {
    let broker = RedisBroker::start().await;
    for wire in [
        Wire::Classic,
        Wire::Sharded,
        Wire::Streams,
        Wire::StreamsSharded,
        Wire::StreamsTwo,
        Wire::StreamsOld,
    ] {
        let mut fleet = Fleet::start_on(&broker.url(), wire).await;
        let (emits, requests) = rights(wire, &fleet.prefix);
        let all = [emits.clone(), requests.clone()].concat();

        let emitter = emitter_on(&user_with(&broker, "emits", &emits).await, wire, &fleet.prefix);
        emitter.emit("event", &1).await.unwrap();
        emitter.to("a").sockets_join(["b"]).await.unwrap();
        for names in fleet.events().await {
            assert_eq!(names, ["event"], "{wire:?}");
        }
        let refused = counts(&emitter, DEADLINE).await.unwrap_err();
        assert!(refused.is_refusal(), "{wire:?}: {refused}");

        let emitter = emitter_on(&user_with(&broker, "requests", &all).await, wire, &fleet.prefix);
        assert_eq!(counts(&emitter, DEADLINE).await.unwrap(), 2, "{wire:?}");
        let receipt = emitter
            .broadcast()
            .timeout(DEADLINE)
            .emit_with_receipt("received", &1)
            .await;
        assert_eq!(receipt.unwrap().num_clients(), 2, "{wire:?}");

        for (number, left_out) in all.iter().enumerate() {
            let rest: Vec<_> = all.iter().filter(|right| *right != left_out).cloned().collect();
            let name = format!("lacks-{number}");
            let emitter = emitter_on(&user_with(&broker, &name, &rest).await, wire, &fleet.prefix);
            let error = first_refusal(&emitter).await.expect(left_out);
            // A subscription to a stream is accepted before it is read.
            let is_late = left_out == "+xread" && error.kind() == ErrorKind::Timeout;
            assert!(error.is_refusal() || is_late, "{wire:?}, {left_out}: {error}");
        }
    }
}

async fn first_refusal(emitter: &Emitter) -> Option<Error> {
    if let Err(error) = emitter.emit("event", &1).await {
        return Some(error);
    }
    if let Err(error) = emitter.to("a").sockets_join(["b"]).await {
        return Some(error);
    }
    counts(emitter, PATIENCE).await.err()
}

async fn counts(emitter: &Emitter, timeout: Duration) -> Result<u64, Error> {
    Ok(emitter.broadcast().timeout(timeout).count_sockets().await?.found)
}
