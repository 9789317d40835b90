//! The emitter of this project under test.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use manager_api::{Emitter, Error};
use siokit::node::NodeWire;
use tokio::time::{sleep_until, timeout_at};

use crate::latency::stamped;
use crate::process::Cpu;
use crate::report::Emitted;

/// Publishes stamped events `m` to room `r`, each awaited to its acceptance.
#[derive(Clone, Debug, Args)]
pub struct Emit {
    /// Broker, such as redis://127.0.0.1:6379
    url: String,
    /// Number of events
    count: u64,
    /// Events per second; as fast as possible by default
    #[arg(long)]
    rate: Option<f64>,
    /// Events on their way at a time
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Bytes of an event's text
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// The adapter of servers on Node; by default the messages are for servers of this project
    #[arg(long)]
    wire: Option<NodeAdapter>,
}

/// The adapters of servers on Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NodeAdapter {
    /// `createAdapter` of @socket.io/redis-adapter
    Classic,
    /// `createShardedAdapter` of @socket.io/redis-adapter
    Sharded,
    /// @socket.io/redis-streams-adapter
    Streams,
}

impl NodeAdapter {
    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Sharded => "sharded",
            Self::Streams => "streams",
        }
    }

    fn wire(self) -> NodeWire {
        match self {
            Self::Classic => NodeWire::classic(),
            Self::Sharded => NodeWire::sharded(),
            Self::Streams => NodeWire::streams(),
        }
    }
}

impl Emit {
    /// Publishes, and returns the rate and the CPU time.
    ///
    /// # Errors
    ///
    /// If the URL cannot be used, or an event was not accepted.
    pub async fn run(&self) -> Result<Emitted> {
        let manager = siokit::connect(&self.url)?;
        let emitter = match self.wire {
            Some(adapter) => Emitter::with_wire(manager, &adapter.wire())?,
            None => Emitter::new(manager),
        };
        // The first event connects, which is not measured.
        emitter.to("warm-up").emit("warm-up", &()).await?;
        let own = i32::try_from(std::process::id())?;
        let (cpu, began) = (Cpu::of(own)?.total(), Instant::now());
        self.emit(&emitter).await?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu = Cpu::of(own)?.total() - cpu;
        emitter.close().await?;
        Ok(Emitted {
            num_events: self.count,
            per_second: self.count as f64 / seconds,
            cpu_per_event: cpu / self.count.max(1) as f64,
        })
    }

    async fn emit(&self, emitter: &Emitter) -> Result<(), Error> {
        let began = tokio::time::Instant::now();
        let mut in_flight = FuturesUnordered::new();
        for sent in 0..self.count {
            while in_flight.len() >= self.in_flight.max(1) {
                in_flight.next().await.transpose()?;
            }
            in_flight.push(emitter.to("r").emit("m", &stamped(self.payload)));
            if let Some(rate) = self.rate {
                let next = began + Duration::from_secs_f64((sent + 1) as f64 / rate);
                // An emit that is not polled publishes nothing.
                let _ = timeout_at(next, accepted(&mut in_flight)).await;
                sleep_until(next).await;
            }
        }
        accepted(&mut in_flight).await
    }
}

async fn accepted<F: Future<Output = Result<(), Error>>>(in_flight: &mut FuturesUnordered<F>) -> Result<(), Error> {
    while let Some(accepted) = in_flight.next().await {
        accepted?;
    }
    Ok(())
}
