//! Cases of acknowledgements across hosts.

use std::time::Duration;

use bytes::Bytes;
use manager_api::ack::{AckStream, ClientAck};
use manager_api::{Broadcast, Emitter, Payload, Sid};

use super::host::{Delivery, Host, two_hosts};
use crate::conformance::Backend;
use crate::conformance::support::{eventually, soon};

/// Acknowledgements of clients on every host, binary included, reach the process that expects them, and no other.
pub async fn acks_come_back_to_the_process_that_asked(backend: &dyn Backend) {
    let (mut one, mut two, options) = two_hosts(backend).await;
    let (a, x) = (one.add("a", &["r"]), two.add("x", &["r"]));
    let emitter = Emitter::new(backend.manager(options.clone()).await);
    let bystander = Emitter::new(backend.manager(options).await);
    let mut others = ask(bystander.to("empty").timeout(Duration::from_millis(1))).await;
    soon("the bystander's acknowledgements", async {
        while others.next().await.is_some() {}
    })
    .await;
    for from in [one.hub.broadcast(), two.hub.broadcast(), emitter.broadcast()] {
        let answers = ask(from.to("r")).await.count(2);
        let (asked_a, asked_x) = (one.next().await, two.next().await);
        answer(&one, a, &asked_a, &("from a", 1));
        answer(&two, x, &asked_x, &Bytes::from_static(b"\x00\xff"));
        let mut got = soon("answers", answers.all()).await.expect("asked");
        got.sort_by(|a, b| a.client.cmp(&b.client));
        assert_eq!(sids(&got), ["a", "x"].map(|sid| Some(Sid::from(sid))));
        assert_eq!(got[0].payload, payload(&("from a", 1)));
        assert_eq!(got[1].payload, payload(&Bytes::from_static(b"\x00\xff")));
    }
    for metrics in [one.hub.metrics(), two.hub.metrics()] {
        assert_eq!((metrics.pending_acks, metrics.acks_dropped), (0, 0));
    }
}

/// A second acknowledgement of a client, and one of a client that received no event, are ignored.
pub async fn only_the_first_answer_of_an_asked_client_counts(backend: &dyn Backend) {
    let (one, mut two, _) = two_hosts(backend).await;
    let (x, y) = (two.add("x", &["r"]), two.add("y", &[]));
    let mut answers = ask(one.hub.broadcast().to("r")).await;
    let asked = two.next().await;
    let id = asked.ack.expect("an answer is wanted");
    two.hub.acknowledge(y, &"y".into(), id, payload("forged"));
    answer(&two, x, &asked, "first");
    answer(&two, x, &asked, "second");
    let first = soon("answer", answers.next()).await.expect("one").expect("asked");
    assert_eq!((first.client, first.payload), (Some("x".into()), payload("first")));
    let mut last = ask(one.hub.broadcast().to("x")).await.count(1);
    let asked = two.next().await;
    answer(&two, x, &asked, "last");
    soon("answer", last.next()).await.expect("one").expect("asked");
    // The effects of the two acknowledgements before have passed the channel by now.
    let nothing = futures_util::FutureExt::now_or_never(answers.next());
    assert!(nothing.is_none(), "{nothing:?}");
}

/// A collection that some clients do not acknowledge ends at its deadline, reports that, keeps the others' acknowledgements,
/// and leaves nothing behind.
pub async fn a_question_ends_at_its_deadline_and_leaves_nothing(backend: &dyn Backend) {
    let (mut one, mut two, options) = two_hosts(backend).await;
    let a = one.add("a", &[]);
    two.add("x", &[]);
    let emitter = Emitter::new(backend.manager(options).await);
    for from in [two.hub.broadcast(), emitter.broadcast()] {
        let mut answers = ask(from.timeout(Duration::from_secs(1))).await;
        let asked = one.next().await;
        two.next().await;
        answer(&one, a, &asked, "here");
        let mut got = Vec::new();
        while let Some(answer) = soon("answers", answers.next()).await {
            got.push(answer.expect("asked"));
        }
        assert_eq!(sids(&got), [Some(Sid::from("a"))]);
        assert!(answers.timed_out());
    }
    // The hosts remove the expired requests of others from time to time.
    let is_forgotten = || async { one.hub.metrics().pending_acks == 0 && two.hub.metrics().pending_acks == 0 };
    eventually("the questions are forgotten", is_forgotten).await;
}

/// Emits an event and expects acknowledgements.
async fn ask(to: Broadcast) -> AckStream {
    soon("ask", to.emit_with_ack("q", &())).await.expect("asked")
}

/// Acknowledges a delivery.
fn answer<T: serde::Serialize + ?Sized>(host: &Host, key: u64, asked: &Delivery, with: &T) {
    let id = asked.ack.expect("an answer is wanted");
    host.hub.acknowledge(key, &asked.sid, id, payload(with));
}

/// Converts a value to a payload.
fn payload<T: serde::Serialize + ?Sized>(value: &T) -> Payload {
    Payload::new(value).expect("it can be sent")
}

/// Returns the clients that acknowledged.
fn sids(answers: &[ClientAck]) -> Vec<Option<Sid>> {
    answers.iter().map(|answer| answer.client.clone()).collect()
}
