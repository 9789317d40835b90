//! Frames of a client, from the incoming bytes to the messages.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use engine_io::{Config, Engine, Handler, Handshake, Message, ProtocolError, Session, Socket};
use hyper::service::service_fn;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

use crate::frame;
use crate::hot_path::Operation;
use crate::pipe::{Pipe, runtime};

/// Frames of a batch, and the bytes of text in each.
const SMALL: (u64, usize) = (100, 100);
const LARGE: (u64, usize) = (1, 16 << 10);
/// Turns of the server within which a batch is read.
const MAX_TURNS: usize = 10_000;

/// A connection whose messages are counted and dropped.
pub struct Frames {
    runtime: Runtime,
    client: Pipe,
    batch: Vec<u8>,
    num_received: Arc<AtomicU64>,
    num_sent: u64,
}

impl Frames {
    /// Opens the connection.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub fn connect() -> Result<Self> {
        let runtime = runtime()?;
        let num_received = Arc::new(AtomicU64::new(0));
        let engine = Engine::new(Count(num_received.clone()), Config::default());
        let client = runtime.block_on(Pipe::open(service_fn(move |request| {
            let engine = engine.clone();
            async move { Ok::<_, Infallible>(engine.handle(request).await) }
        })))?;
        let mut batch = Vec::new();
        for (count, len) in [SMALL, LARGE] {
            // An Engine.IO message.
            let packet = format!("4{}", "x".repeat(len));
            for _ in 0..count {
                frame::push(&mut batch, frame::TEXT, packet.as_bytes());
            }
        }
        Ok(Self {
            runtime,
            client,
            batch,
            num_received,
            num_sent: 0,
        })
    }

    /// Returns the bytes of one batch.
    pub fn batch(&self) -> &[u8] {
        &self.batch
    }
}

impl Operation for Frames {
    fn run(&mut self) -> Result<()> {
        self.num_sent += SMALL.0 + LARGE.0;
        self.runtime.block_on(async {
            self.client.send(&self.batch).await?;
            for _ in 0..MAX_TURNS {
                if self.num_received.load(Ordering::Relaxed) == self.num_sent {
                    return Ok(());
                }
                yield_now().await;
            }
            bail!("messages are missing")
        })
    }
}

/// Counts messages.
struct Count(Arc<AtomicU64>);

impl Handler for Count {
    fn open(&self, _: Socket, _: Handshake) -> Box<dyn Session> {
        Box::new(Count(self.0.clone()))
    }
}

impl Session for Count {
    fn message(&mut self, _: Message<'_>) -> Result<(), ProtocolError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
