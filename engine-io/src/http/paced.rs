//! Write pacing: a stream whose peer has to read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream on which a write fails with [`TimedOut`](io::ErrorKind::TimedOut) after it made no
/// progress for a time: the peer does not read.
///
/// Put it around the stream that an HTTP server is given, so that none of its responses is held for
/// ever for a client that does not read. Reading, and a connection on which there is nothing to
/// write, may wait for any time. When the connection becomes a WebSocket, an
/// [`Engine`](crate::Engine) takes a `TcpStream` or `UnixStream` out of it: the limits of its
/// [`Config`](crate::Config) hold from then on.
///
/// ```no_run
/// use std::time::Duration;
///
/// use engine_io::http::PacedStream;
/// use tokio::net::TcpListener;
///
/// # async fn run() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:3000").await?;
/// let (stream, _) = listener.accept().await?;
/// let stream = PacedStream::new(stream, Duration::from_secs(30));
/// let io = hyper_util::rt::TokioIo::new(stream); // for hyper's `serve_connection`
/// # drop(io);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PacedStream<S> {
    /// The stream itself.
    stream: S,
    /// How long a write may make no progress.
    patience: Duration,
    /// Ends when a stalled write has waited too long.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Counts the writes that made progress.
    progress: Arc<Progress>,
}

/// Counts the writes of a [`PacedStream`] that made progress.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// Returns how many there were.
    pub fn num_writes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> PacedStream<S> {
    /// Limits the time without progress of a write to `patience`; `Duration::MAX` sets no limit.
    pub fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
            progress: Arc::default(),
        }
    }

    /// Returns the count of writes, which outlives the stream.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Returns the stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Notes whether a write made progress; fails one that has stalled for too long.
    fn judge(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.stalled = None;
            self.progress.0.fetch_add(1, Ordering::Relaxed);
            return polled;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up_and_one_that_reads_slowly_is_not() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = PacedStream::new(near, Duration::from_secs(30));
        let progress = near.progress();
        let slow = async {
            let mut buffer = [0; 1_000];
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                far.read_exact(&mut buffer).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(near.write_all(&[0; 6_000]), slow);
        written.unwrap();
        assert_eq!(progress.num_writes(), 6);
        let begun = tokio::time::Instant::now();
        let error = near.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_response_may_be_silent_for_any_time() {
        let (near, mut far) = tokio::io::duplex(1_000);
        let mut near = PacedStream::new(near, Duration::from_secs(30));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        near.write_all(b"late").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
    }
}
