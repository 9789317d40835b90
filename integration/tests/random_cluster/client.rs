//! A scripted client: a task of the test that reads all packets and carries out commands.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{http, within};

const PATH: &str = "/socket.io/?EIO=4&transport";
/// Connecting is given up after so many failures: a busy machine may be too late for the short times of the script, but not always.
const ATTEMPTS: usize = 10;

/// The connection of a client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    WebSocket,
    Polling,
    /// By polling first.
    Upgraded,
}

/// A command for a client.
enum Command {
    Send(String),
    /// Closes the connection, as the transport does it.
    Close,
    /// Keeps the connection, and neither reads nor writes any more.
    Freeze,
}

pub(super) struct Client {
    pub(super) sid: String,
    /// Which server it is connected to.
    pub(super) host: usize,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl Client {
    /// Connects to server `host` and joins `/`; answers every other question from then on.
    pub(super) async fn connect(host: usize, address: SocketAddr, way: Way) -> Self {
        let mut failures = Vec::new();
        while failures.len() < ATTEMPTS {
            match within("a connection", Connection::open(address, way)).await {
                Ok((connection, sid)) => {
                    let (commands, told) = mpsc::unbounded_channel();
                    let task = tokio::spawn(connection.run(told));
                    return Self {
                        sid,
                        host,
                        commands,
                        task,
                    };
                }
                Err(error) => failures.push(error),
            }
        }
        panic!("{way:?}: {failures:?}");
    }

    pub(super) fn send(&self, packet: &str) {
        // The connection may have ended.
        let _ = self.commands.send(Command::Send(packet.to_owned()));
    }

    /// Ends, in one of the ways in which clients do.
    pub(super) fn end(self, random: &mut fastrand::Rng) -> Ended {
        let last = match random.u8(0..5) {
            // Without a word.
            0 | 1 => {
                self.task.abort();
                Command::Close
            }
            2 => Command::Send("1".to_owned()),
            3 => Command::Close,
            _ => Command::Freeze,
        };
        let _ = self.commands.send(last);
        Ended(self.task)
    }

    /// Waits until it has noticed that its server is gone.
    pub(super) async fn lost(self) {
        within("the client's loss", self.task).await.unwrap();
    }
}

/// A client that has done what it does, and may hold its connection. Dropping it lets that go.
pub(super) struct Ended(JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to connect, and goes away without a word.
pub(super) async fn stray(address: SocketAddr, random: &mut fastrand::Rng) -> io::Result<()> {
    match random.u8(0..4) {
        0 => drop(TcpStream::connect(address).await?),
        1 => drop(Poller::open(address).await?),
        2 => drop(web_socket(address, "").await?),
        _ => {
            let poller = Poller::open(address).await?;
            let mut stream = web_socket(address, &poller.sid).await?;
            send(&mut stream, "2probe").await?;
            next(&mut stream).await?;
        }
    }
    Ok(())
}

type WebSocket = WebSocketStream<TcpStream>;

enum Connection {
    WebSocket(Box<WebSocket>),
    Polling(Poller),
}

impl Connection {
    async fn open(address: SocketAddr, way: Way) -> io::Result<(Self, String)> {
        if let Way::WebSocket = way {
            let mut stream = web_socket(address, "").await?;
            send(&mut stream, "40").await?;
            loop {
                if let Some(sid) = accepted(&next(&mut stream).await?) {
                    return Ok((Self::WebSocket(Box::new(stream)), sid));
                }
            }
        }
        let poller = Poller::open(address).await?;
        poller.post("40").await?;
        let sid = loop {
            let packets = poller.get().await?;
            if let Some(sid) = packets.split('\x1e').find_map(accepted) {
                break sid;
            }
        };
        if let Way::Polling = way {
            return Ok((Self::Polling(poller), sid));
        }
        let mut stream = web_socket(address, &poller.sid).await?;
        send(&mut stream, "2probe").await?;
        if next(&mut stream).await? != "3probe" {
            return Err(io::Error::other("the probe was refused"));
        }
        send(&mut stream, "5").await?;
        Ok((Self::WebSocket(Box::new(stream)), sid))
    }

    async fn run(self, told: mpsc::UnboundedReceiver<Command>) {
        // However a connection ends, the other side sees it, too.
        let _ = match self {
            Self::WebSocket(stream) => talk(*stream, told).await,
            Self::Polling(poller) => poll(&poller, told).await,
        };
    }
}

/// The id in a packet that accepts a client in `/`.
fn accepted(packet: &str) -> Option<String> {
    let rest = packet.strip_prefix("40{\"sid\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

/// Returns the acknowledgement of the client.
#[derive(Default)]
struct AckStream(u32);

impl AckStream {
    fn to(&mut self, packet: &str) -> Option<String> {
        if packet == "2" {
            return Some("3".to_owned());
        }
        let id = packet.strip_prefix("42")?.split('[').next()?;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 += 1;
        self.0.is_multiple_of(2).then(|| format!("43{id}[1]"))
    }
}

async fn web_socket(address: SocketAddr, sid: &str) -> io::Result<WebSocket> {
    let stream = TcpStream::connect(address).await?;
    let parameter = if sid.is_empty() { "" } else { "&sid=" };
    let url = format!("ws://{address}{PATH}=websocket{parameter}{sid}");
    let (stream, _) = client_async(url, stream).await.map_err(io::Error::other)?;
    Ok(stream)
}

async fn send(stream: &mut WebSocket, packet: &str) -> io::Result<()> {
    stream.send(Message::text(packet)).await.map_err(io::Error::other)
}

async fn next(stream: &mut WebSocket) -> io::Result<String> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(_))) | None => return Err(io::Error::other("closed")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(io::Error::other(error)),
        }
    }
}

async fn talk(mut stream: WebSocket, mut told: mpsc::UnboundedReceiver<Command>) -> io::Result<()> {
    let mut answers = AckStream::default();
    loop {
        tokio::select! {
            packet = next(&mut stream) => if let Some(answer) = answers.to(&packet?) {
                send(&mut stream, &answer).await?;
            },
            Some(command) = told.recv() => match command {
                Command::Send(packet) => send(&mut stream, &packet).await?,
                Command::Close => stream.close(None).await.map_err(io::Error::other)?,
                Command::Freeze => std::future::pending().await,
            },
        }
    }
}

/// A session on long-polling.
struct Poller {
    address: SocketAddr,
    sid: String,
}

impl Poller {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let mut poller = Self {
            address,
            sid: String::new(),
        };
        let opened = poller.request("GET", &format!("{PATH}=polling"), "").await?;
        let sid = opened
            .strip_prefix("0{\"sid\":\"")
            .and_then(|rest| rest.split('"').next());
        poller.sid = sid.expect(&opened).to_owned();
        Ok(poller)
    }

    async fn get(&self) -> io::Result<String> {
        self.request("GET", &format!("{PATH}=polling&sid={}", self.sid), "")
            .await
    }

    async fn post(&self, packets: &str) -> io::Result<()> {
        let path = format!("{PATH}=polling&sid={}", self.sid);
        self.request("POST", &path, packets).await.map(drop)
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let response = http::request(Ipv4Addr::LOCALHOST, self.address, method, path, "", body).await?;
        match response.status {
            200 => Ok(response.body),
            refused => Err(io::Error::other(format!("status {refused}"))),
        }
    }
}

async fn poll(poller: &Poller, mut told: mpsc::UnboundedReceiver<Command>) -> io::Result<()> {
    let mut answers = AckStream::default();
    loop {
        let mut polled = std::pin::pin!(poller.get());
        let packets = loop {
            tokio::select! {
                packets = &mut polled => break packets?,
                Some(command) = told.recv() => match command {
                    Command::Send(packet) => poller.post(&packet).await?,
                    Command::Close => return poller.post("1").await,
                    // A client that is not there looks like one that does not poll again.
                    Command::Freeze => return Ok(()),
                },
            }
        };
        for answer in packets.split('\x1e').filter_map(|packet| answers.to(packet)) {
            poller.post(&answer).await?;
        }
    }
}
