//! Clients of tests, which read and write bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::{Server, within};

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A request on its way.
pub(crate) struct Pending {
    pub(crate) stream: TcpStream,
}

impl Pending {
    pub(crate) async fn start(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> Self {
        let length = if headers.contains("encoding") || method == "GET" {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}{headers}\r\n");
        Self::raw(addr, &[head.as_bytes(), body].concat()).await
    }

    pub(crate) async fn raw(addr: SocketAddr, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        Self { stream }
    }

    /// Reads up to the end of the response's head.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.stream.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    /// Reads the response as it is on the wire.
    pub(crate) async fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A server that refuses a body may reset the connection after its response.
        let _ = within(self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    pub(crate) async fn response(self) -> Response {
        let text = String::from_utf8(self.bytes().await).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response {
            status,
            head: head.replace("\r\n", "\n"),
            body: body.to_owned(),
        }
    }
}

pub(crate) const CLOSE: u8 = 8;
const KEY: &str = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(crate) fn upgrade_request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n{KEY}\r\n")
}

/// A WebSocket client that may break every rule.
pub(crate) struct Ws<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl Ws {
    /// Splits it, so that another task can write.
    pub(crate) fn split(self) -> (Ws<OwnedReadHalf>, OwnedWriteHalf) {
        let (reader, writer) = self.stream.into_split();
        (
            Ws {
                stream: reader,
                buffer: self.buffer,
            },
            writer,
        )
    }

    pub(crate) async fn connect(addr: SocketAddr, target: &str) -> Self {
        Self::connect_with(addr, target, "").await.0
    }

    /// Connects with more headers; returns the head of the response, too.
    pub(crate) async fn connect_with(addr: SocketAddr, target: &str, headers: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = upgrade_request(target).replace("host: x\r\n", &format!("host: x\r\n{headers}"));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut ws = Self {
            stream,
            buffer: Vec::new(),
        };
        let head = loop {
            let end = ws.buffer.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break String::from_utf8(ws.buffer.drain(..end + 4).collect()).unwrap(),
                None => assert!(ws.fill().await > 0, "the server closed"),
            }
        };
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        (ws, head.replace("\r\n", "\n"))
    }

    pub(crate) async fn upgrade(server: &Server, sid: &str) -> Self {
        Self::connect(server.addr, &format!("/?EIO=4&transport=websocket&sid={sid}")).await
    }

    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        let frame = masked(first, payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(0x81, text.as_bytes()).await;
    }
}

impl<S: AsyncRead + Unpin> Ws<S> {
    async fn fill(&mut self) -> usize {
        within(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0)
    }

    /// Reads a frame; none when the server closed.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, second, rest @ ..] = &self.buffer[..] {
                assert_eq!(second & 0x80, 0, "servers do not mask");
                let (extended, length) = match second {
                    126 if rest.len() >= 2 => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
                    127 if rest.len() >= 8 => (8, u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize),
                    0..=125 => (0, usize::from(*second)),
                    _ => (8, usize::MAX / 2),
                };
                if rest.len() >= extended + length {
                    let frame = (*first, rest[extended..extended + length].to_vec());
                    self.buffer.drain(..2 + extended + length);
                    return Some(frame);
                }
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.frame().await {
            Some((0x81, payload)) => String::from_utf8(payload).unwrap(),
            frame => panic!("{frame:?} instead of a text"),
        }
    }

    /// Reads to the end; the last frame must close the connection with this payload.
    pub(crate) async fn closed(&mut self, payload: &[u8]) {
        let mut last = None;
        while let Some(frame) = self.frame().await {
            last = Some(frame);
        }
        assert_eq!(last, Some((0x80 | CLOSE, payload.to_vec())));
    }
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
