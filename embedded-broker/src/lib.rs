//! A publish/subscribe broker that runs inside a process and speaks Redis' own protocol, with nothing to install.
//!
//! It is for tests, demos and the first steps with `sio`. It speaks enough of RESP2 and RESP3 that `manager-redis`, `redis-cli` and the Redis
//! client of any language can publish and subscribe, and nothing else: it stores no data and knows no users, and therefore **serves one
//! machine only**. It refuses to bind an address that is not loopback. Between machines use a real Redis or Valkey.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use embedded_broker::EmbeddedBroker;
//!
//! let broker = EmbeddedBroker::start("127.0.0.1:0").await?; // on a free port
//! let url = broker.url(); // redis://127.0.0.1:…, for any Redis client
//! # assert!(url.starts_with("redis://127.0.0.1:"));
//! broker.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`EmbeddedBroker`] runs in a task of its own; [`Broker`] is bound, and runs in the caller's.
//!
//! # Commands
//!
//! | command | |
//! |---|---|
//! | `PUBLISH` `SUBSCRIBE` `UNSUBSCRIBE` `PSUBSCRIBE` `PUNSUBSCRIBE` | as Redis; the messages of a client are delivered in order |
//! | `PUBSUB CHANNELS`, `NUMSUB`, `NUMPAT` | as Redis |
//! | `HELLO` `AUTH` `SELECT` `CLIENT` `COMMAND` `RESET` `QUIT` | what clients send on connecting; every login is accepted |
//! | `PING` `ECHO` `INFO` | as Redis; `PING`, `INFO` and `QUIT` also as a line of text, for health checks |
//!
//! Each other command is answered with an error. A line of text never publishes: a browser can be made to send lines to a local port.
//!
//! # Limits
//!
//! Everything that a client can use up is bounded by [`Limits`]. A subscriber that reads too slowly makes its publishers wait, and is
//! disconnected if it does not catch up; the other subscribers lose nothing.
//!
//! # Logs
//!
//! By `tracing`, with the target `embedded_broker`. At `warn`, limited to one line a second of each kind: clients that are refused because there
//! are too many, clients that are disconnected because they read too slowly, connections that cannot be accepted. At `debug`: clients that
//! leave, and errors of the protocol. Messages are not logged.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | `embedded` | the broker in a task of its own |
//! | `broker` | the bound listener, and what its connections share |
//! | `connection` | one client's socket |
//! | `session` | what each command does |
//! | `codec` | bytes to commands within limits, replies to bytes |
//! | `topics` | the table of subscriptions |
//! | `outbox` | what is to be sent to one client, bounded |
//! | `glob` | the patterns of PSUBSCRIBE |
//! | `limits`, `stats` | limits, counters |
#![deny(missing_docs)]

mod broker;
mod codec;
mod connection;
mod embedded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glob;
mod limits;
mod outbox;
mod session;
mod stats;
#[cfg(test)]
mod tests;
mod topics;

pub use broker::Broker;
pub use embedded::EmbeddedBroker;
pub use limits::Limits;
pub use stats::Stats;
