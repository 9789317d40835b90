//! The servers that the test suites of the official clients want:
//! `cargo run -p sio-server --example client_suites -- javascript|java ADDRESS [NAMESPACE]`.
//!
//! Results, with the suites' own Node server and with this one: JavaScript (socket.io-client 4.8.3) 111 of 111 and 110 of 111, which lacks
//! connection state recovery; Java (socket.io-client 2.1, the tests that need a server) 74 of 74 with both, TLS by a proxy in front.

use std::io::{self, Write};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use socket_io::config::AllowedOrigins;
use socket_io::extract::Query;
use socket_io::manager_api::Payload;
use socket_io::{Auth, Data, Namespace, Refusal, Socket, SocketIo};
use tokio::net::TcpListener;

/// What an event handler fails with that is not to acknowledge.
const NO_ACK: Result<(), &str> = Err("this event is not acknowledged");
/// How long a client may take to answer a question.
const WAIT: Duration = Duration::from_secs(5);
/// Binary for clients.
const DOGE: Bytes = Bytes::from_static(b"asdfasdf");
/// A date, as JavaScript writes one in JSON.
const DATE: &str = "2026-01-02T03:04:05.678Z";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let suite = arguments.next().unwrap_or_else(|| "javascript".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3210".to_owned());
    let main = arguments.next().unwrap_or_else(|| "/".to_owned());
    let io = SocketIo::builder()
        .configure(|config| {
            config.engine.ping_interval = Duration::from_secs(2);
            config.engine.cors_allowed_origins = AllowedOrigins::Any;
        })
        .build();
    for name in ["/timeout_socket", "/valid", "/asd"] {
        io.namespace(name);
    }
    io.namespace("/abc").on_connect(emit_handshake);
    match suite.as_str() {
        "java" => java(&io, &main),
        _ => javascript(&io),
    }
    let app = Router::new().layer(io.layer()).layer(middleware::from_fn(echo_header));
    let listener = TcpListener::bind(address).await?;
    // It serves on although standard output is closed or full.
    let _ = writeln!(io::stdout(), "listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Sends a header of the suite's own back; a handshake takes a moment, because the suite tests how long clients wait for one.
async fn echo_header(request: Request, next: Next) -> Response {
    const NAME: &str = "x-socketio";
    let value = request.headers().get(NAME).cloned();
    if !request.uri().query().is_some_and(|query| query.contains("sid=")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut response = next.run(request).await;
    if let Some(value) = value {
        response.headers_mut().insert(NAME, value);
    }
    response
}

/// What Node calls the handshake of a socket, as far as the suites look at it.
fn handshake(query: Map<String, Value>, auth: Option<Value>) -> Value {
    json!({"query": query, "auth": auth.unwrap_or_else(|| json!({}))})
}

async fn emit_handshake(
    socket: Socket,
    Query(query): Query<Map<String, Value>>,
    Auth(auth): Auth<Option<Value>>,
) -> Result<(), Refusal> {
    let sent = socket.emit("handshake", &handshake(query, auth)).await;
    sent.map_err(|error| Refusal::new(error.to_string()))
}

/// Keeps the handshake for those who ask for it later.
fn keep_handshake(socket: &Socket, query: Map<String, Value>, auth: Option<Value>) -> Result<(), Refusal> {
    let saved = socket.save_session(handshake(query, auth));
    saved.map_err(|error| Refusal::new(error.to_string()))
}

fn kept_handshake(socket: &Socket) -> Value {
    socket
        .get_session::<Value>()
        .map_or(Value::Null, |kept| (*kept).clone())
}

fn javascript(io: &SocketIo) {
    io.namespace("/foo")
        .on("getId", async |socket: Socket| socket.id().to_string());
    io.namespace("/no")
        .on_connect(async || Err::<(), _>(Refusal::new("Auth failed (custom namespace)")));
    let root = io.namespace("/");
    root.on_connect(
        async |socket: Socket, Query(query): Query<Map<String, Value>>, Auth(auth): Auth<Option<Value>>| {
            if query.contains_key("fail") {
                return Err(Refusal::new("Auth failed (main namespace)"));
            }
            keep_handshake(&socket, query, auth)
        },
    );
    root.on("hi", async |socket: Socket| socket.emit("hi", &()).await)
        .on("echo", async |arguments: Payload| arguments)
        .on("getAckDate", async || DATE)
        .on("getId", async |socket: Socket| socket.id().to_string())
        .on("getHandshake", async |socket: Socket| kept_handshake(&socket));
    root.on("ack", async |socket: Socket| {
        // The client's next event does not wait for its answer to this one.
        tokio::spawn(async move {
            let answer = socket.call::<_, (Value, Value)>("ack", &(), WAIT).await;
            if matches!(answer, Ok((five, test)) if five == 5 && test["test"] == true) {
                // A client that is gone has seen enough.
                let _ = socket.emit("got it", &()).await;
            }
        });
        NO_ACK
    });
    javascript_values(&root);
    javascript_binary(&root);
}

fn javascript_values(root: &Namespace) {
    root.on("getDate", async |socket: Socket| socket.emit("takeDate", &DATE).await)
        .on("getDateObj", async |socket: Socket| {
            socket.emit("takeDateObj", &json!({"date": DATE})).await
        })
        .on("false", async |socket: Socket| socket.emit("false", &false).await)
        .on("getUtf8", async |socket: Socket| {
            let texts = ["てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"];
            texts
                .iter()
                .try_for_each(|text| socket.emit("takeUtf8", text).into_inner())
        });
}

fn javascript_binary(root: &Namespace) {
    root.on("doge", async |socket: Socket| socket.emit("doge", &DOGE).await)
        .on("getbin", async |socket: Socket| socket.emit("takebin", &DOGE).await);
    // An event whose data is not binary does not fit, and is not answered.
    root.on("buffa", async |socket: Socket, Data(_): Data<Bytes>| {
        socket.emit("buffack", &()).await
    })
    .on("blob", async |socket: Socket, Data(_): Data<Bytes>| {
        socket.emit("back", &()).await
    });
    for name in ["jsonbuff", "jsonblob"] {
        let answer = format!("{name}-ack");
        root.on(name, move |socket: Socket, Data(mixed): Data<Mixed>| {
            let is_right = mixed.hello == "lol" && !mixed.message.is_empty() && mixed.goodbye == "gotcha";
            let answered = if is_right {
                socket.emit(&answer, &()).into_inner()
            } else {
                Ok(())
            };
            async { answered }
        });
    }
    root.on("abuff1", async |Data(_): Data<Bytes>| {})
        .on("abuff2", async |socket: Socket| socket.emit("abuff2-ack", &()).await);
    root.on("blob1", async |Data(_): Data<Bytes>| {})
        .on("blob2", async |Data(_): Data<String>| {})
        .on("blob3", async |socket: Socket, Data(_): Data<Bytes>| {
            socket.emit("blob3-ack", &()).await
        });
}

/// Text around binary.
#[derive(serde::Deserialize)]
struct Mixed {
    hello: String,
    message: Bytes,
    goodbye: String,
}

fn java(io: &SocketIo, main: &str) {
    io.namespace("/no").on_connect(async || {
        let refusal = Refusal::new("auth failed");
        Err::<(), _>(refusal.with_data(&json!({"a": "b", "c": 3})))
    });
    io.namespace("/foo").on("room", send_to_own_room);
    if main != "/" {
        io.namespace("/");
    }
    let main = io.namespace(main);
    main.on_connect(
        async |socket: Socket, Query(query): Query<Map<String, Value>>, Auth(auth): Auth<Option<Value>>| {
            keep_handshake(&socket, query, auth)?;
            let sent = socket.send(&"hello client").await;
            sent.map_err(|error| Refusal::new(error.to_string()))
        },
    );
    main.on("message", async |socket: Socket, all: Payload| {
        socket.emit_payload("message", all).await
    })
    .on("echo", async |socket: Socket, all: Payload| {
        socket.emit_payload("echoBack", all).await
    })
    .on("ack", async |all: Payload| all)
    .on("getAckBinary", async || Bytes::from_static(b"huehue"))
    .on("getAckDate", async || DATE)
    .on("getHandshake", async |socket: Socket| kept_handshake(&socket))
    .on("room", send_to_own_room);
    for name in ["callAck", "callAckBinary"] {
        main.on(name, async |socket: Socket| {
            let itself = socket.io().of(socket.namespace().as_str()).to(socket.id());
            let answers = itself.timeout(WAIT).emit_with_ack("ack", &()).await?;
            match answers.count(1).next().await {
                Some(answer) => socket.emit_payload("ackBack", answer?.payload).await,
                None => Ok(()),
            }
        });
    }
    main.on("broadcast", async |socket: Socket, all: Payload| {
        socket.broadcast().emit_payload("broadcastBack", all).await
    })
    .on("requestDisconnect", async |socket: Socket| socket.disconnect());
}

async fn send_to_own_room(socket: Socket, all: Payload) -> Result<(), socket_io::Error> {
    let room = socket.id().as_str().to_owned();
    socket
        .io()
        .of(socket.namespace().as_str())
        .to(room)
        .emit_payload("roomBack", all)
        .await
}
