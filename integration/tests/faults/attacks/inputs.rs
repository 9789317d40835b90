//! Input of attackers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use integration::app::hasty;
use manager_api::Emitter;
use manager_redis::RedisManager;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::within;

/// The longest wait of an attacker for a response that may never arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// The number of attempts of an attacker to join.
const ATTEMPTS: usize = 10;

/// The addresses of the server.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) json: SocketAddr,
    pub(super) msgpack: SocketAddr,
    pub(super) broker: String,
    pub(super) channel: String,
}

/// The duration of each attack, and the connections that are never read.
pub(super) struct Attacked {
    pub(super) durations: BTreeMap<&'static str, Duration>,
    _unread: Vec<TcpStream>,
}

/// Carries out all attacks at a time.
pub(super) async fn attack(target: Target) -> Attacked {
    let started = Instant::now();
    let named = |name: &'static str, attack: futures_util::future::LocalBoxFuture<'static, Vec<TcpStream>>| async move {
        let unread = attack.await;
        (name, started.elapsed(), unread)
    };
    let t = || target.clone();
    let attacks = [
        named("placeholders", placeholders(t()).boxed_local()),
        named("maps like placeholders", lookalikes(t()).boxed_local()),
        named("joins of many rooms", joins(t()).boxed_local()),
        named("one message with many rooms", members(t()).boxed_local()),
        named("polls that are not read", unread_polls(t()).boxed_local()),
        named("files that are not read", unread_files(t()).boxed_local()),
        named("pipelined handshakes", handshakes(t()).boxed_local()),
        named("forged log lines", forged_lines(t()).boxed_local()),
        named("passwords", passwords(t()).boxed_local()),
        named("abandoned handshakes", abandoned(t()).boxed_local()),
    ];
    let mut attacked = Attacked {
        durations: BTreeMap::new(),
        _unread: Vec::new(),
    };
    for (name, took, unread) in futures_util::future::join_all(attacks).await {
        attacked.durations.insert(name, took);
        attacked._unread.extend(unread);
    }
    attacked
}

/// A WebSocket of few words, whose server may close it at any time.
struct Attacker(WebSocketStream<TcpStream>);

impl Attacker {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = within("the handshake", client_async(url, stream)).await.unwrap();
        Self(stream)
    }

    /// Sends what the server may not take.
    async fn send(&mut self, packet: impl Into<Message>) {
        let _ = self.0.send(packet.into()).await;
    }

    /// Reads until a packet begins so; `None` if the connection ends or nothing more comes.
    async fn next_with(&mut self, start: &str) -> Option<String> {
        while let Ok(Some(Ok(message))) = tokio::time::timeout(PATIENCE, self.0.next()).await {
            let packet = String::from_utf8_lossy(&message.into_data()).into_owned();
            if packet.starts_with(start) {
                return Some(packet);
            }
        }
        None
    }

    /// Returns whether a packet with this prefix arrives.
    async fn until(&mut self, start: &str) -> bool {
        self.next_with(start).await.is_some()
    }

    /// Returns the next packet of MessagePack that is as long as an echo.
    async fn answer(&mut self) -> Option<Bytes> {
        while let Ok(Some(Ok(message))) = tokio::time::timeout(PATIENCE, self.0.next()).await {
            let packet = message.into_data();
            if packet.len() > 1_000 {
                return Some(packet);
            }
        }
        None
    }

    /// Joins. Others flood the server with connections from the same address, for which it may close one that has not joined.
    async fn join(address: SocketAddr) -> Self {
        for _ in 0..ATTEMPTS {
            let mut attacker = Self::open(address).await;
            attacker.send("40").await;
            if attacker.until("40").await {
                return attacker;
            }
        }
        panic!("it is accepted");
    }
}

/// 30,000 placeholders for one attachment of 0.99 MB, from several clients and again.
async fn placeholders(target: Target) -> Vec<TcpStream> {
    let list = vec![r#"{"_placeholder":true,"num":0}"#; 30_000].join(",");
    let (event, attachment) = (format!("451-1[\"bytes\",[{list}]]"), Bytes::from(vec![b'x'; 990_000]));
    for _ in 0..20 {
        let mut attacker = Attacker::join(target.json).await;
        attacker.send(event.as_str()).await;
        attacker.send(Message::Binary(attachment.clone())).await;
        assert!(!attacker.until("431").await, "the connection is closed");
    }
    Vec::new()
}

/// Maps of MessagePack that look like placeholders, echoed with bytes beside them.
async fn lookalikes(target: Target) -> Vec<TcpStream> {
    const MAPS: u16 = 20_000;
    let mut event = b"\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x07\xa4data\x93\xa4echo\xdc".to_vec();
    event.extend(MAPS.to_be_bytes());
    event.extend(b"\x82\xac_placeholder\xc3\xa3num\x00".repeat(usize::from(MAPS)));
    event.extend(b"\xc6");
    event.extend(400_000_u32.to_be_bytes());
    event.extend(vec![b'x'; 400_000]);
    let mut attacker = Attacker::open(target.msgpack).await;
    attacker
        .send(Message::binary(&b"\x82\xa4type\x00\xa3nsp\xa1/"[..]))
        .await;
    let longest = event.len() + 100;
    for _ in 0..10 {
        attacker.send(Message::binary(event.clone())).await;
    }
    for _ in 0..10 {
        let answer = attacker.answer().await.expect("it is echoed");
        assert!(answer.len() < longest, "{} bytes for {longest}", answer.len());
    }
    Vec::new()
}

/// Two clients that join 100,000 rooms each.
async fn joins(target: Target) -> Vec<TcpStream> {
    let join = async || {
        let mut attacker = Attacker::join(target.json).await;
        for number in 0..100_000 {
            attacker.send(format!("42[\"join\",\"room {number}\"]")).await;
        }
        // It answered no ping meanwhile, for which it may have been closed.
        attacker.send("429[\"echo\"]").await;
        attacker.until("439").await;
    };
    tokio::join!(join(), join());
    Vec::new()
}

/// Messages of a publisher: 50,000 and 300,000 rooms at once, and one room for all clients.
async fn members(target: Target) -> Vec<TcpStream> {
    let manager = RedisManager::new(&target.broker, hasty(&target.channel)).unwrap();
    let emitter = Emitter::new(manager);
    let mut attacker = Attacker::join(target.json).await;
    attacker.send("421[\"join\",\"attackers\"]").await;
    assert!(attacker.until("431").await);
    let rooms = || (0..50_000).map(|number| format!("far {number}"));
    let all = || emitter.broadcast();
    for _ in 0..5 {
        let attackers = || all().to("attackers");
        attackers().sockets_join(rooms()).await.unwrap();
        attackers().sockets_leave(rooms()).await.unwrap();
        all().sockets_join(["all"]).await.unwrap();
        all().sockets_leave(["all"]).await.unwrap();
    }
    let names: Vec<String> = (0..300_000).map(|number| format!("\"{number}\"")).collect();
    let message = format!(
        r#"{{"method":"sio_members","rooms":[{}],"host_id":"x"}}"#,
        names.join(",")
    );
    emitter.manager().publish(message.into()).await.unwrap();
    emitter.to("attackers").emit("end", &()).await.unwrap();
    assert!(attacker.until("42[\"end\"").await, "the server is not deaf");
    emitter.close().await.unwrap();
    Vec::new()
}

/// 60 sessions whose polls bring an event of 15 MB that is never read.
async fn unread_polls(target: Target) -> Vec<TcpStream> {
    let mut unread = Vec::new();
    for _ in 0..60 {
        let opened = request(target.json, "GET", "", "").await;
        let sid = opened
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let query = format!("&sid={}", sid.expect(&opened));
        for packet in ["40", "42[\"big\"]"] {
            request(target.json, "POST", &query, packet).await;
        }
        let mut stream = small_window(target.json).await;
        stream
            .write_all(head(target.json, "GET", &query, 0).as_bytes())
            .await
            .unwrap();
        unread.push(stream);
    }
    unread
}

/// 300 answers of 20 MB that are never read.
async fn unread_files(target: Target) -> Vec<TcpStream> {
    let mut unread = Vec::new();
    for _ in 0..300 {
        let mut stream = small_window(target.json).await;
        stream
            .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        unread.push(stream);
    }
    unread
}

/// 100,000 handshakes one after the other on one connection.
async fn handshakes(target: Target) -> Vec<TcpStream> {
    const BATCH: usize = 1_000;
    // From an address of its own: what it uses up is not what the others need.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.66:0".parse().unwrap()).unwrap();
    let (mut read, mut write) = socket.connect(target.json).await.unwrap().into_split();
    let batch = head(target.json, "GET", "", 0).repeat(BATCH);
    let writing = async {
        for _ in 0..100 {
            if write.write_all(batch.as_bytes()).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    let reading = async {
        let mut scratch = vec![0; 65_536];
        while let Ok(1..) = read.read(&mut scratch).await {}
    };
    tokio::join!(writing, reading);
    Vec::new()
}

/// Names of events and namespaces that end a line and begin another one.
async fn forged_lines(target: Target) -> Vec<TcpStream> {
    let mut attacker = Attacker::join(target.json).await;
    for number in 0..1_000 {
        let forged = format!("x\\n2026-01-01T00:00:00Z ERROR forged {number}");
        attacker.send(format!("42[\"{forged}\",1]")).await;
        attacker.send(format!("42[\"join\",{{\"{forged}\":1}}]")).await;
        attacker
            .send(format!("40/x\n2026-01-01T00:00:00Z ERROR forged {number},"))
            .await;
    }
    attacker.send("429[\"echo\"]").await;
    assert!(attacker.until("439").await, "it was all handled");
    Vec::new()
}

/// Passwords, as many as an address may try and more.
async fn passwords(target: Target) -> Vec<TcpStream> {
    const GUESSES: u64 = 60;
    let (started, mut num_limited) = (Instant::now(), 0);
    for number in 0..GUESSES {
        let mut attacker = Attacker::open(target.json).await;
        let guess = format!("40/admin,{{\"username\":\"admin\",\"password\":\"{number}\"}}");
        attacker.send(guess).await;
        let refusal = attacker.next_with("44/admin,").await;
        // One that is shed, as connections that have joined nothing are, was not answered at all.
        num_limited += u64::from(refusal.is_none_or(|refusal| refusal.contains("too many")));
    }
    // 20 a minute, and no more at first.
    let allowed = 20 + started.elapsed().as_secs() / 3 + 1;
    assert!(
        GUESSES - num_limited <= allowed,
        "{num_limited} of {GUESSES} guesses were limited"
    );
    Vec::new()
}

/// Handshakes that end in the middle.
async fn abandoned(target: Target) -> Vec<TcpStream> {
    let mut abandoned = Vec::new();
    let whole = head(target.json, "GET", "", 0);
    for end in [0, 1, 20, whole.len() - 2] {
        let mut stream = TcpStream::connect(target.json).await.unwrap();
        stream.write_all(&whole.as_bytes()[..end]).await.unwrap();
        abandoned.push(stream);
    }
    abandoned
}

/// A connection whose peer never takes more than a few KiB.
async fn small_window(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    within("the connection", socket.connect(address)).await.unwrap()
}

fn head(address: SocketAddr, method: &str, query: &str, len: usize) -> String {
    format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\n\r\n"
    )
}

/// Sends a request on a connection of its own, and returns the answer.
async fn request(address: SocketAddr, method: &str, query: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = head(address, method, query, body.len()).replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
