//! Acknowledgements across the mixed fleet.

use std::time::Duration;

use bytes::Bytes;
use integration::DEADLINE;
use integration::brokers::unique_channel;
use integration::client::{Kind, RealClient};
use integration::driven::binary;
use integration::managers;
use integration::python::PyManager;
use manager_api::ack::ClientAck;
use manager_api::{Broadcast, Emitter};
use serde_json::{Value, json};
use socket_io::manager_api::ErrorKind;

use super::fleet::{Fleet, From, Member};
use crate::served::Served;

/// Takes a question as it must be, and answers it.
async fn answer(client: &mut RealClient, question: &Value, answer: Value) {
    let message = client.next_message(DEADLINE).await;
    assert_eq!(
        (message.name.as_str(), &Value::from(message.args)),
        ("question", question)
    );
    client.ack(message.ack.expect("an answer is wanted"), answer).await;
}

/// Returns who answered what, our clients by id, in the order of the answers.
fn told(answers: Vec<ClientAck>) -> Vec<(Value, Option<String>)> {
    let mut told: Vec<_> = answers
        .into_iter()
        .map(|answer| {
            let arguments: Value = serde_json::from_str(answer.payload.json()).unwrap();
            (arguments, answer.client.map(|sid| sid.as_str().to_owned()))
        })
        .collect();
    told.sort_by_key(|(arguments, _)| arguments.to_string());
    told
}

/// One client of python-socketio's server answers, once to each kind of question.
async fn a_client_of_theirs_answers(theirs: PyManager, ask: impl Fn(&Fleet) -> Broadcast) {
    let fleet = Fleet::start(theirs, From::OurServer).await;
    let Member { mut client, sid, .. } = Member::join(Kind::Node, fleet.theirs.url(), "websocket").await;
    let asked = || ask(&fleet).to(sid.as_str()).timeout(DEADLINE);

    let question = json!(["?", binary(b"\x00\xff"), { "n": 1 }]);
    let arguments = ("?", Bytes::from_static(b"\x00\xff"), json!({ "n": 1 }));
    let answers = asked().emit_with_ack("question", &arguments).await.unwrap().count(1);
    answer(&mut client, &question, json!(["yes", 2, { "three": null }])).await;
    assert_eq!(
        told(answers.all().await.unwrap()),
        [(json!(["yes", 2, { "three": null }]), None)]
    );

    // Nothing, one null, one list: the answer keeps its form.
    for (reply, parsed) in [
        (json!([]), Value::Null),
        (json!([[1, 2]]), json!([1, 2])),
        (json!(["ż🦀"]), json!("ż🦀")),
    ] {
        let answers = asked().emit_with_ack("question", &()).await.unwrap();
        answer(&mut client, &json!([]), reply).await;
        assert_eq!(answers.one::<Value>().await.unwrap(), parsed);
    }

    let unanswered = asked()
        .timeout(Duration::from_millis(100))
        .emit_with_ack("question", &());
    let error = unanswered.await.unwrap().one::<Value>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

pub(super) async fn a_client_of_theirs_answers_our_emitter(theirs: PyManager) {
    a_client_of_theirs_answers(theirs, |fleet| fleet.emitter.broadcast()).await;
}

pub(super) async fn a_client_of_theirs_answers_our_server(theirs: PyManager) {
    a_client_of_theirs_answers(theirs, |fleet| fleet.ours.io.broadcast()).await;
}

/// A room with members on both servers answers, and so do all clients together.
async fn all_clients_answer(theirs: PyManager, ask: impl Fn(&Fleet) -> Broadcast) {
    let fleet = Fleet::start(theirs, From::OurServer).await;
    let mut members = fleet.members([Kind::Node, Kind::Node], ["websocket", "polling"]).await;
    let mut outside = Member::join(Kind::Node, fleet.theirs.url(), "websocket").await;
    for member in &mut members {
        member.enter("room").await;
        member.enter("hall").await;
    }
    for broadcast in [ask(&fleet).to("room"), ask(&fleet).to("room").to("hall")] {
        let asked = broadcast
            .timeout(DEADLINE)
            .emit_with_ack("question", &"?")
            .await
            .unwrap();
        for (number, member) in members.iter_mut().enumerate() {
            answer(&mut member.client, &json!(["?"]), json!([number])).await;
        }
        let answers = told(asked.count(2).all().await.unwrap());
        assert_eq!(
            answers,
            [(json!([0]), Some(members[0].sid.clone())), (json!([1]), None)]
        );
    }

    let asked = ask(&fleet)
        .timeout(DEADLINE)
        .emit_with_ack("question", &"!")
        .await
        .unwrap();
    for (number, member) in members.iter_mut().chain([&mut outside]).enumerate() {
        answer(&mut member.client, &json!(["!"]), json!([number])).await;
    }
    let answers = told(asked.count(3).all().await.unwrap());
    let who = [Some(members[0].sid.clone()), None, None];
    assert!(answers.iter().map(|(_, client)| client).eq(&who), "{answers:?}");
    let numbers: Vec<_> = answers.into_iter().map(|(arguments, _)| arguments).collect();
    assert_eq!(numbers, [json!([0]), json!([1]), json!([2])]);
}

pub(super) async fn all_clients_answer_our_emitter(theirs: PyManager) {
    all_clients_answer(theirs, |fleet| fleet.emitter.broadcast()).await;
}

pub(super) async fn all_clients_answer_our_server(theirs: PyManager) {
    all_clients_answer(theirs, |fleet| fleet.ours.io.broadcast()).await;
}

pub(super) async fn a_client_of_ours_answers_their_server(theirs: PyManager) {
    let mut fleet = Fleet::start(theirs, From::PythonServer).await;
    let [mut a, mut b] = fleet
        .members([Kind::Node, Kind::Python], ["websocket", "websocket"])
        .await;
    let replies = [
        json!([]),
        json!(["yes"]),
        json!([[1, 2]]),
        json!(["several", 2, { "three": null }, "ż🦀"]),
        json!([null, 1]),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        let question = json!(["?", binary(b"\x00\xff"), number]);
        fleet
            .emit(
                "question",
                json!({ "args": question, "room": a.sid, "callback": number }),
            )
            .await;
        answer(&mut a.client, &question, reply.clone()).await;
        let callback = fleet.theirs.until(DEADLINE, |event| event["event"] == "callback").await;
        assert_eq!((&callback["id"], &callback["args"]), (&json!(number), &reply));
    }

    // python-socketio has no words for bytes in an answer that crosses servers. Its own servers lose such answers; from
    // ours they come, in the form that bytes have in an event.
    fleet
        .emit("question", json!({ "args": [], "room": a.sid, "callback": 77 }))
        .await;
    answer(&mut a.client, &json!([]), json!([binary(b"\x00\xff")])).await;
    let callback = fleet.theirs.until(DEADLINE, |event| event["event"] == "callback").await;
    let encoded = json!([[{ "_placeholder": true, "num": 0 }], "AP8="]);
    assert_eq!((&callback["id"], &callback["args"]), (&json!(77), &encoded));

    // Only they ask the client of their own.
    fleet.end().await;
    assert_eq!(b.names().await, []);
}

pub(super) async fn bytes_in_answers_reach_our_emitter_and_our_other_server(theirs: PyManager) {
    let (url, channel) = (theirs.shared_url().await, unique_channel());
    let (one, other) = tokio::join!(
        Served::start_on_channel(url, &channel),
        Served::start_on_channel(url, &channel)
    );
    let emitter = Emitter::new(managers::on_channel(url, &channel));
    for (kind, transport) in [(Kind::Node, "polling"), (Kind::Python, "websocket")] {
        let Member { mut client, sid, .. } = Member::join(kind, &one.url(), transport).await;
        for broadcast in [emitter.broadcast(), other.io.broadcast(), one.io.broadcast()] {
            let asked = broadcast.to(sid.as_str()).timeout(DEADLINE);
            let question = Bytes::from_static(b"\xfe");
            let answers = asked.emit_with_ack("question", &question).await.unwrap();
            let reply = json!([binary(b"\x00\xff"), { "in": [binary(b"")] }, "text"]);
            answer(&mut client, &json!([binary(b"\xfe")]), reply).await;
            let got = answers.count(1).all().await.unwrap().remove(0);
            assert_eq!(got.client.unwrap().as_str(), sid);
            assert_eq!(got.payload.attachments(), [&b"\x00\xff"[..], b""]);
            let (bytes, inner, text): (Bytes, std::collections::HashMap<String, Vec<Bytes>>, String) =
                got.payload.parse().unwrap();
            assert_eq!(
                (&bytes[..], inner["in"].len(), text.as_str()),
                (&b"\x00\xff"[..], 1, "text")
            );
        }
    }
}
