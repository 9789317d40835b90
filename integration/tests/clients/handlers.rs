//! Handlers: which of them runs, and the effects on the client if one fails.

use integration::DEADLINE;
use integration::client::{ClientEvent, ConnectOptions, RealClient};
use serde_json::{Value, json};
use socket_io::socket::DisconnectReason;
use socket_io::{Data, Refusal, Socket};
use tokio::sync::{mpsc, oneshot};

use super::{Kind, Way};
use crate::served::{Seen, Served};
use crate::support::within;

by_upgrade! {
    unanswered as what_no_handler_handles_or_ends_badly_is_not_answered_and_harms_no_other,
    forged as a_forged_connect_or_disconnect_runs_no_handler_and_ends_the_connection,
    acceptance as nothing_of_a_namespace_arrives_before_it_is_accepted,
}

fn into(way: Way, server: &Served, namespace: &str) -> ConnectOptions {
    let mut options = way.to(server);
    options.namespace = namespace.to_owned();
    options
}

/// Returns what the client reports up to, and without, the event `last`; its transports aside.
async fn events_before_last(client: &mut RealClient) -> Vec<ClientEvent> {
    let mut events = Vec::new();
    loop {
        match client.next_event(DEADLINE).await {
            ClientEvent::Message(message) if message.name == "last" => return events,
            ClientEvent::Transport { .. } => {}
            event => events.push(event),
        }
    }
}

async fn unanswered(way: Way) {
    let server = Served::start();
    server
        .io
        .namespace("/answers")
        .on("fails", async || Err::<(), _>("on purpose"))
        .on("panics", async || -> &'static str { panic!("on purpose") })
        .on("wants a number", async |Data(number): Data<u32>| number)
        .on("fine", async || "fine");
    let options = into(way, &server, "/answers");
    let mut beside = RealClient::connected(Kind::Node, &options).await;
    let mut client = RealClient::connected(way.kind, &options).await;
    way.settled(&mut client).await;
    for (number, event) in ["unknown", "fails", "panics", "wants a number"].iter().enumerate() {
        let ask =
            json!({ "cmd": "emit", "name": event, "args": ["no number"], "ack": 100 + number, "timeout": 60_000 });
        client.command(ask).await;
    }
    for client in [&mut client, &mut beside] {
        let answer = client.emit_with_ack("fine", json!([]), DEADLINE).await;
        assert_eq!(answer, Some(vec![json!("fine")]));
    }
    // Events of a client stay in order: an answer to those before would be here by now.
    server.io.of("/answers").emit("last", &()).await.unwrap();
    let events = events_before_last(&mut client).await;
    let is_quiet = |event: &ClientEvent| !matches!(event, ClientEvent::Ack { .. } | ClientEvent::Disconnect { .. });
    assert!(events.iter().all(is_quiet), "{events:?}");
}

async fn forged(way: Way) {
    let mut server = Served::start();
    for name in ["connect", "disconnect"] {
        let (mut client, socket) = way.join(&mut server).await;
        client
            .command(json!({ "cmd": "forge", "name": name, "args": ["forged"] }))
            .await;
        client.disconnected(DEADLINE).await;
        // The next thing that a handler reports: none ran for the forged event.
        match server.next().await {
            Seen::Disconnect {
                socket: left, reason, ..
            } => {
                assert_eq!(left.id(), socket.id());
                assert!(matches!(reason, DisconnectReason::Connection(_)), "{reason}");
            }
            other @ Seen::Connect { .. } => panic!("{name} ran a handler: {other:?}"),
        }
    }
}

type Asked = (Socket, oneshot::Sender<Result<(), Refusal>>);

async fn acceptance(way: Way) {
    let server = Served::start();
    let (asks, mut asked) = mpsc::unbounded_channel::<Asked>();
    server.io.namespace("/guarded").on_connect(move |socket: Socket| {
        let (decide, decision) = oneshot::channel();
        asks.send((socket, decide)).unwrap();
        async move { decision.await.unwrap() }
    });
    let mut client = RealClient::spawn(way.kind).await;
    let mut connect = json!(into(way, &server, "/guarded"));
    connect["cmd"] = json!("connect");
    for decision in [Err(Refusal::new("not yet")), Ok(())] {
        client.command(connect.clone()).await;
        let (socket, decide) = within("the handler runs", asked.recv()).await.unwrap();
        socket.emit("held back", &()).await.unwrap();
        server.io.of("/guarded").emit("for members", &()).await.unwrap();
        let is_refused = decision.is_err();
        decide.send(decision).unwrap();
        if is_refused {
            // Without this the client would be asked to connect while it still does.
            let refused = |event: &Value| event["event"] == "connect_error";
            client.driven().until(DEADLINE, refused).await;
        } else {
            socket.emit("last", &()).await.unwrap();
        }
    }
    let events = events_before_last(&mut client).await;
    let seen: Vec<_> = events.iter().map(kind).collect();
    // The script of python-socketio's client reports events during the connect before the connection.
    let expected: &[_] = match way.kind {
        Kind::Python if seen.first() != Some(&"connect") => &["held back"],
        _ => &["connect", "held back"],
    };
    assert_eq!(seen, expected);
}

fn kind(event: &ClientEvent) -> &str {
    match event {
        ClientEvent::Connect { .. } => "connect",
        ClientEvent::Message(message) => &message.name,
        _ => "something else",
    }
}
