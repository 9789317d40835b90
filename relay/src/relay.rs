//! The relay: reads, maps, emits, acknowledges.

use std::sync::Arc;
use std::time::Duration;

use manager_api::source::{Position, Source};
use manager_api::{ClientManager, Emitter, Error};

use crate::flow::Flow;
use crate::mapping::Map;
use crate::status::RelayStatus;

/// The options of a [`Relay`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayOptions {
    /// The most records that were read and are not acknowledged; the next reading waits. Default 1,024; zero counts as
    /// one, with which records keep their order through outages.
    pub max_in_flight: usize,
    /// The most bytes of such records; a larger record is under way alone. Default 32 MiB.
    pub max_in_flight_bytes: usize,
    /// Whether a record that would become a dead letter ends the relay instead. Default false.
    pub strict: bool,
    /// How long the records under way may take once the relay is to end. Default 10 s; zero ends at once.
    pub drain: Duration,
    /// The first wait after a failure of broker or source; it doubles with each one. Default 200 ms.
    pub backoff_base: Duration,
    /// The longest wait. Default 30 s.
    pub backoff_cap: Duration,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            max_in_flight_bytes: 32 << 20,
            strict: false,
            drain: Duration::from_secs(10),
            backoff_base: Duration::from_millis(200),
            backoff_cap: Duration::from_secs(30),
        }
    }
}

/// Why a relay ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The broker of the servers refused the first event: a login, a right, a configuration.
    #[error("cannot emit: {0}")]
    Broker(Error),
    /// The source refused to be read: a login, a right, or it does not exist. Or it ended with a failure.
    #[error("cannot read the source: {0}")]
    Source(Error),
    /// A record would have become a dead letter, and [`strict`](RelayOptions::strict) is on.
    #[error("stopped at {position}: {reason}")]
    Strict {
        /// The place of the record. It was not acknowledged.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
    /// The source could not be left properly: it may hand out records again that were emitted.
    #[error("the last acknowledgements may not be stored: {0}")]
    Unstored(Error),
    /// Records were under way when the time to end was over. A source that keeps records hands them out again.
    #[error("{num_records} records were read and not acknowledged")]
    Unfinished {
        /// The number of records.
        num_records: usize,
    },
}

/// Moves records of a source into rooms.
///
/// # Behaviour
///
/// - A record is acknowledged after the broker has accepted its event, and within each
///   [lane](Position::lane) after all that were read before it.
/// - Events are emitted in the order of their records. One with a key whose acceptance is uncertain is emitted again by
///   the emitter, up to the deadline of the manager; later ones may be accepted before it. After that nothing new is
///   emitted before what failed.
/// - What cannot be mapped or sent becomes a dead letter, and is acknowledged after that is stored.
/// - While the broker or the source is out of reach the relay waits, with back-off.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use manager_api::Emitter;
/// use manager_api::memory::MemoryBus;
/// use relay::{DeadLines, LinesSource, MapConfig, Mapping, Relay, RelayOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Arc::new(MemoryBus::new().manager("socketio"));
/// let source = LinesSource::start("standard input", std::io::stdin(), DeadLines::to(std::io::stderr()), 1 << 20)?;
/// let mapping = Mapping::new(&MapConfig::event("line"))?;
/// let relay = Relay::new(Arc::new(source), mapping, manager.clone(), Emitter::new(manager), RelayOptions::default());
/// relay.run(std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Relay {
    source: Arc<dyn Source>,
    map: Arc<dyn Map>,
    emitter: Emitter,
    options: RelayOptions,
    status: RelayStatus,
}

impl Relay {
    /// Creates a relay; `manager` is the one of the emitter, for its health. Nothing is read before [`run`](Self::run).
    pub fn new(
        source: Arc<dyn Source>,
        map: impl Map,
        manager: Arc<dyn ClientManager>,
        emitter: Emitter,
        options: RelayOptions,
    ) -> Self {
        Self {
            status: RelayStatus::new(source.clone(), manager),
            source,
            map: Arc::new(map),
            emitter,
            options,
        }
    }

    /// Returns the counters and the state.
    pub fn status(&self) -> RelayStatus {
        self.status.clone()
    }

    /// Moves records until the source ends or `stop` completes; then finishes what is under way, acknowledges it, and
    /// leaves the source. The emitter stays open.
    ///
    /// # Errors
    ///
    /// [`RelayError`]. What was accepted before is acknowledged, except after
    /// [`Unfinished`](RelayError::Unfinished).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves what is under way without an acknowledgement.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RelayError> {
        let drain = self.options.drain;
        let flow = Flow::new(
            self.source.clone(),
            self.map,
            self.emitter,
            self.options,
            self.status.clone(),
        );
        let outcome = flow.run(stop).await;
        self.status.stopping();
        let closed = self.source.close(drain.max(Duration::from_secs(1))).await;
        if let Err(error) = &closed {
            self.status.source_failed("leave", error);
        }
        outcome.and(closed.map_err(RelayError::Unstored))
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
