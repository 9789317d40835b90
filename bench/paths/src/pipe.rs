//! WebSocket clients whose connections are buffers in memory: no system call, no other thread.

use std::error::Error as StdError;

use anyhow::{Context, Result};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

use crate::frame;

/// Bytes that a connection holds in each direction.
const BUFFER_LEN: usize = 64 << 10;
const HANDSHAKE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2lvLWJlbmNoIGNsaWVudA==\r\n\r\n";

/// A client whose WebSocket is open.
pub(crate) struct Pipe {
    stream: DuplexStream,
    received: Vec<u8>,
}

/// Makes the runtime that all of an operation runs on.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}

impl Pipe {
    /// Opens a WebSocket to a service.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub(crate) async fn open<S>(service: S) -> Result<Self>
    where
        S: HttpService<Incoming> + Send + 'static,
        S::Error: Into<Box<dyn StdError + Send + Sync>>,
        S::Future: Send + 'static,
        S::ResBody: Send + 'static,
        <S::ResBody as Body>::Data: Send,
        <S::ResBody as Body>::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (stream, far) = duplex(BUFFER_LEN);
        let connection = http1::Builder::new().serve_connection(TokioIo::new(far), service);
        let connection = connection.with_upgrades();
        tokio::spawn(async move { drop(connection.await) });
        let received = Vec::new();
        let mut pipe = Self { stream, received };
        pipe.send(HANDSHAKE.as_bytes()).await?;
        let ends_at = loop {
            if let Some(at) = pipe.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            pipe.read_some().await?;
        };
        pipe.received.drain(..ends_at);
        Ok(pipe)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// If the connection is closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.context("the server closed")
    }

    /// Receives one packet.
    ///
    /// # Errors
    ///
    /// If the connection is closed, or a frame is not one of a server.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some((frame, len)) = frame::first(&self.received)? {
                let packet = frame.payload.to_vec();
                self.received.drain(..len);
                return Ok(packet);
            }
            self.read_some().await?;
        }
    }

    /// Receives `frame.len()` bytes into `frame`.
    ///
    /// # Errors
    ///
    /// If the connection is closed.
    pub(crate) async fn receive_exact(&mut self, frame: &mut [u8]) -> Result<()> {
        self.stream.read_exact(frame).await.context("the server closed")?;
        Ok(())
    }

    async fn read_some(&mut self) -> Result<()> {
        let num_read = self.stream.read_buf(&mut self.received).await?;
        (num_read > 0).then_some(()).context("the server closed")
    }
}

/// Writes one masked text frame.
pub(crate) fn text_frame(packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::push(&mut bytes, frame::TEXT, packet);
    bytes
}
