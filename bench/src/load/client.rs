//! A Socket.IO client over WebSocket that parses no JSON and keeps no buffer while idle.

use std::cell::RefCell;
use std::io::{Error, ErrorKind};

use anyhow::{Context, Result, bail};
use bench_paths::frame::{self, CLOSE, PING, PONG, TEXT};
use tokio::net::TcpStream;

use super::Target;

/// Bytes read at once; a frame that is longer makes the shared buffer grow.
const READ_LEN: usize = 256 << 10;
/// The longest response to the WebSocket handshake, in bytes.
const MAX_HEAD_LEN: usize = 16 << 10;

thread_local! {
    /// The input buffer of all clients: an incomplete frame is kept by its client.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// A client in namespace `/`.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    partial: Vec<u8>,
    output: Vec<u8>,
}

impl Client {
    /// Connects: TCP, WebSocket, Engine.IO, namespace `/`.
    ///
    /// # Errors
    ///
    /// If the server refuses, closes, or sends an unexpected response.
    pub async fn connect(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream,
            partial: Vec::new(),
            output: Vec::new(),
        };
        client.upgrade(target).await?;
        client.wait_for(|packet| packet.starts_with(b"0{")).await?;
        client.send(b"40").await?;
        client.wait_for(|packet| packet.starts_with(b"40")).await?;
        client.output = Vec::new();
        Ok(client)
    }

    async fn upgrade(&mut self, target: &Target) -> Result<()> {
        let request = format!(
            "GET {}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2lvLWJlbmNoIGNsaWVudA==\r\n\r\n",
            target.path, target.address
        );
        self.output.extend_from_slice(request.as_bytes());
        self.flush().await?;
        let mut head = Vec::new();
        let ends_at = loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut head) {
                Ok(0) => bail!("the server closed the connection during the handshake"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            match head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if head.len() > MAX_HEAD_LEN => bail!("the answer to the handshake does not end"),
                None => {}
            }
        };
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("the handshake was refused: {}", String::from_utf8_lossy(&head));
        }
        self.partial = head.split_off(ends_at);
        Ok(())
    }

    /// Receives until `is_it` holds for a packet.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub async fn wait_for(&mut self, is_it: impl Fn(&[u8]) -> bool) -> Result<()> {
        // A frame may have arrived together with the response to the handshake.
        let early = std::mem::take(&mut self.partial);
        let mut is_there = false;
        let used = self.scan(&early, &mut |packet| is_there |= is_it(packet))?.0;
        self.partial = early[used..].to_vec();
        while !is_there {
            self.receive(|packet| is_there |= is_it(packet)).await?;
        }
        Ok(())
    }

    /// Waits for packets, passes each of one read to `each`, and answers pings. Returns their number, which is at least one.
    ///
    /// # Errors
    ///
    /// If the connection ends, or carries something that is not a frame.
    pub async fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        loop {
            self.stream.readable().await?;
            let num_packets = match INPUT.with_borrow_mut(|input| self.read(input, &mut each)) {
                Ok(num_packets) => num_packets,
                Err(error) if is_blocked(&error) => continue,
                Err(error) => return Err(error),
            };
            self.flush().await?;
            if num_packets > 0 {
                return Ok(num_packets);
            }
        }
    }

    fn read(&mut self, input: &mut Vec<u8>, each: &mut impl FnMut(&[u8])) -> Result<usize> {
        let begins_at = self.partial.len();
        if input.len() < begins_at + READ_LEN {
            input.resize(begins_at + READ_LEN, 0);
        }
        let num_read = self.stream.try_read(&mut input[begins_at..])?;
        if num_read == 0 {
            bail!(Error::from(ErrorKind::UnexpectedEof));
        }
        input[..begins_at].copy_from_slice(&self.partial);
        let received = &input[..begins_at + num_read];
        let (used, num_packets) = self.scan(received, each)?;
        match used == received.len() {
            true => self.partial = Vec::new(),
            false => self.partial = received[used..].to_vec(),
        }
        Ok(num_packets)
    }

    /// Hands each complete packet to `each`; returns the bytes used and the number of packets.
    fn scan(&mut self, input: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(usize, usize)> {
        let (mut used, mut num_packets) = (0, 0);
        while let Some((frame, len)) = frame::first(&input[used..])? {
            used += len;
            match frame.opcode {
                TEXT if frame.payload == b"2" => self.queue(b"3"),
                TEXT => {
                    num_packets += 1;
                    each(frame.payload);
                }
                PING => frame::push(&mut self.output, PONG, frame.payload),
                CLOSE => bail!("the server closed the WebSocket"),
                _ => {}
            }
        }
        Ok((used, num_packets))
    }

    /// Queues one packet; [`flush`](Self::flush) sends it.
    pub fn queue(&mut self, packet: &[u8]) {
        frame::push(&mut self.output, TEXT, packet);
    }

    /// Sends the queued bytes.
    ///
    /// # Errors
    ///
    /// If the connection is closed.
    pub async fn flush(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.try_write(&self.output[sent..]) {
                Ok(num_bytes) => sent += num_bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error).context("the server does not take any more"),
            }
        }
        self.output.clear();
        Ok(())
    }

    /// Sends one packet.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn send(&mut self, packet: &[u8]) -> Result<()> {
        self.queue(packet);
        self.flush().await
    }

    /// Emits an event of the test application, given as a JSON array, and waits for its acknowledgement.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub async fn call(&mut self, event: &str) -> Result<()> {
        self.send(format!("420{event}").as_bytes()).await?;
        self.wait_for(|packet| packet.starts_with(b"430[")).await?;
        self.output = Vec::new();
        Ok(())
    }
}

fn is_blocked(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Reads the id of an acknowledgement in namespace `/`.
pub fn acknowledged(packet: &[u8]) -> Option<usize> {
    let rest = packet.strip_prefix(b"43")?;
    let num_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..num_digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::acknowledged;

    #[test]
    fn the_id_of_an_acknowledgement_is_read_and_nothing_else_is_taken_for_one() {
        assert_eq!(acknowledged(b"4317[\"x\"]"), Some(17));
        assert_eq!(acknowledged(b"43[]"), None);
        assert_eq!(acknowledged(b"42[\"43\"]"), None);
    }
}
