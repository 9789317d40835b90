//! A client's bytes into a whole server: HTTP, or frames behind a WebSocket handshake. Time is virtual.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use libfuzzer_sys::fuzz_target;
use socket_io::{Data, Socket, SocketIo};
use socket_io::manager_api::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// What a client does, each piece written in one go.
#[derive(Arbitrary, Debug)]
enum Client {
    /// Speaks HTTP, or nothing like it.
    Http(Vec<Vec<u8>>),
    /// Opens a WebSocket, then writes bytes.
    Raw(Vec<Vec<u8>>),
    /// Opens a WebSocket, then sends frames whose form is right.
    Frames(Vec<Frame>),
}

#[derive(Arbitrary, Debug)]
struct Frame {
    head: u8,
    mask: [u8; 4],
    payload: Content,
}

/// Text is likelier to get anywhere.
#[derive(Arbitrary, Debug)]
enum Content {
    Packet(String),
    Event(String),
    Bytes(Vec<u8>),
}

const HANDSHAKE: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

impl Client {
    fn pieces(self) -> Vec<Vec<u8>> {
        let behind_handshake = |pieces| [vec![HANDSHAKE.to_vec()], pieces].concat();
        match self {
            Self::Http(pieces) => pieces,
            Self::Raw(pieces) => behind_handshake(pieces),
            Self::Frames(frames) => behind_handshake(frames.into_iter().map(Frame::bytes).collect()),
        }
    }
}

impl Frame {
    fn bytes(self) -> Vec<u8> {
        let payload = match self.payload {
            Content::Packet(text) => format!("4{text}").into_bytes(),
            Content::Event(text) => format!("42[\"echo\",{text:?}]").into_bytes(),
            Content::Bytes(bytes) => bytes,
        };
        let mut out = vec![self.head, 0x80 | 126];
        out.extend((payload.len() as u16).to_be_bytes());
        out.extend(self.mask);
        let masked = payload
            .iter()
            .zip(self.mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask);
        out.extend(masked.take(usize::from(payload.len() as u16)));
        out
    }
}

fn server() -> SocketIo {
    let io = SocketIo::builder()
        .configure(|config| config.engine.max_payload = 4096)
        .build();
    io.namespace("/other");
    io.namespace("/")
        .on("echo", async |data: Payload| data)
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room)
        })
        .on("panic", async || None::<()>.expect("a handler's own"));
    io
}

fuzz_target!(
    init: std::panic::set_hook(Box::new(|info| {
        // The server catches a handler's own panic; every other is a finding.
        if !info.to_string().contains("a handler's own") {
            eprintln!("{info}");
            std::process::abort();
        }
    })),
    |client: Client| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime can be had").block_on(run(client));
    }
);

async fn run(client: Client) {
    let io = server();
    let (near, far) = duplex(64 * 1024);
    let service = TowerToHyperService::new(io.service());
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(far), service)
        .with_upgrades();
    let serving = tokio::spawn(connection);
    let (mut answers, mut requests) = tokio::io::split(near);
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while answers.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    });
    for piece in client.pieces() {
        if requests.write_all(&piece).await.is_err() {
            break;
        }
        // Lets the server look at each piece by itself.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    reading.abort();
    drop(requests);
    // Longer than every time that the server gives a client.
    tokio::time::sleep(Duration::from_secs(300)).await;
    drop(serving.await);
    let metrics = io.metrics();
    assert_eq!(
        (metrics.engine.open_sessions, metrics.num_clients, metrics.num_rooms),
        (0, 0, 0),
        "{metrics:?}"
    );
}
