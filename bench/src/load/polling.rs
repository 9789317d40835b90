//! A Socket.IO client over HTTP long-polling: one kept connection for GETs, one for POSTs.

use std::io::ErrorKind;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Target;

/// Separates the packets of one body.
const SEPARATOR: char = '\x1e';
/// The longest response.
const MAX_RESPONSE_LEN: usize = 64 << 20;

/// A client in namespace `/`.
#[derive(Debug)]
pub struct PollingClient {
    get: Http,
    post: Http,
    get_head: String,
    post_head: String,
}

impl PollingClient {
    /// Connects: Engine.IO session, namespace `/`.
    ///
    /// # Errors
    ///
    /// If the server refuses, closes, or sends an unexpected response.
    pub async fn connect(target: &Target) -> Result<Self> {
        let mut get = Http::connect(target).await?;
        let post = Http::connect(target).await?;
        let (path, address) = (&target.path, target.address);
        let opened = get
            .request(&format!(
                "GET {path}?EIO=4&transport=polling HTTP/1.1\r\nHost: {address}\r\n\r\n"
            ))
            .await?;
        let sid = opened
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let sid = sid.context("the session has no id")?;
        let query = format!("{path}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {address}\r\n");
        let mut client = Self {
            get,
            post,
            get_head: format!("GET {query}\r\n"),
            post_head: format!("POST {query}Content-Type: text/plain;charset=UTF-8\r\n"),
        };
        client.send("40").await?;
        client.poll_until(|packet| packet.starts_with("40")).await?;
        Ok(client)
    }

    /// Posts one packet.
    ///
    /// # Errors
    ///
    /// If the server refuses it or closes.
    pub async fn send(&mut self, packet: &str) -> Result<()> {
        let request = format!("{}Content-Length: {}\r\n\r\n{packet}", self.post_head, packet.len());
        self.post.request(&request).await.map(drop)
    }

    /// Polls until `is_it` holds for a packet; answers pings.
    ///
    /// # Errors
    ///
    /// If the server refuses or closes.
    pub async fn poll_until(&mut self, is_it: impl Fn(&str) -> bool) -> Result<()> {
        loop {
            let body = self.get.request(&self.get_head).await?;
            let mut is_there = false;
            for packet in body.split(SEPARATOR) {
                is_there |= is_it(packet);
                if packet == "2" {
                    self.send("3").await?;
                }
            }
            if is_there {
                return Ok(());
            }
        }
    }
}

/// One kept connection.
#[derive(Debug)]
struct Http {
    stream: TcpStream,
    response: Vec<u8>,
}

impl Http {
    async fn connect(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            response: Vec::new(),
        })
    }

    /// Sends a request and returns the body of its response.
    async fn request(&mut self, request: &str) -> Result<String> {
        self.stream.write_all(request.as_bytes()).await?;
        self.response.clear();
        loop {
            if self.stream.read_buf(&mut self.response).await? == 0 {
                bail!(std::io::Error::from(ErrorKind::UnexpectedEof));
            }
            if let Some(body) = body(&self.response)? {
                return Ok(body);
            }
            if self.response.len() > MAX_RESPONSE_LEN {
                bail!("a response of more than {MAX_RESPONSE_LEN} bytes");
            }
        }
    }
}

/// Reads the body of a response; `None` while it is incomplete.
fn body(response: &[u8]) -> Result<Option<String>> {
    let Some(ends_at) = response.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = (&response[..ends_at], &response[ends_at + 4..]);
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        bail!("refused: {}", String::from_utf8_lossy(response));
    }
    let field = |name| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("transfer-encoding:").is_some_and(|coding| coding == "chunked") {
        return unchunked(body);
    }
    let len: usize = field("content-length:")
        .context("a response without a length")?
        .parse()?;
    let body = body.get(..len).map(|body| String::from_utf8(body.to_vec()));
    Ok(body.transpose()?)
}

fn unchunked(mut body: &[u8]) -> Result<Option<String>> {
    let mut whole = Vec::new();
    loop {
        let Some(ends_at) = body.windows(2).position(|bytes| bytes == b"\r\n") else {
            return Ok(None);
        };
        let len = usize::from_str_radix(std::str::from_utf8(&body[..ends_at])?, 16)?;
        body = &body[ends_at + 2..];
        if body.len() < len + 2 {
            return Ok(None);
        }
        if len == 0 {
            return Ok(Some(String::from_utf8(whole)?));
        }
        whole.extend_from_slice(&body[..len]);
        body = &body[len + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn a_body_is_read_by_length_and_by_chunks_and_only_when_it_is_whole() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        for response in [&plain[..], &chunked[..]] {
            for cut in 0..response.len() {
                assert_eq!(body(&response[..cut]).expect("no error"), None, "cut at {cut}");
            }
            assert_eq!(body(response).expect("no error").as_deref(), Some("hello"));
        }
    }

    #[test]
    fn a_refusal_and_a_response_without_length_are_errors() {
        assert!(body(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(body(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
