//! Socket.IO for Rust, where many processes share the work: the one crate that most programs depend on.
//!
//! A worker emits into rooms, without a server in its process:
//!
//! ```no_run
//! # async fn example() -> Result<(), siokit::Error> {
//! use siokit::Emitter;
//!
//! let emitter = Emitter::new(siokit::connect("redis://localhost:6379")?);
//! emitter.to("lobby").emit("job done", &7).await?; // returns when Redis has accepted the event
//! # Ok(())
//! # }
//! ```
//!
//! A server delivers to its clients what the workers, and the other servers, emit:
//!
#![cfg_attr(feature = "server", doc = "```no_run")]
#![cfg_attr(not(feature = "server"), doc = "```ignore")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use siokit::{Data, Socket, SocketIo};
//!
//! let io = SocketIo::builder().manager(siokit::connect("redis://localhost:6379")?).build();
//! io.namespace("/")
//!     .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room).map(|()| "ok"));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! siokit::serve(listener, io, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! | name | what | feature |
//! |---|---|---|
//! | [`connect`], [`connect_with`] | from the URL of a broker to a [`ClientManager`] | |
//! | [`Emitter`] | emits from any process | |
//! | [`brokers`] | the brokers of this build, and the schemes of their URLs | |
//! | [`manager`] | the whole of the crate `manager_api`: the contract, messages, wire format, the manager in memory | |
//! | `SocketIo`, `Socket`, `serve` … | the paved path of the server | `server` (default) |
//! | `server` | the whole of the crate `socket_io` | `server` (default), `admin`, `static-files` |
//! | `redis` | the manager over Redis and Valkey, with its options | `redis` (default) |
//! | `amqp` | the manager over RabbitMQ | `amqp` |
//! | `kafka` | the manager over Apache Kafka | `kafka`, `kafka-tls`, `kafka-zstd` |
//!
//! Features only add: none changes what the rest does, and none excludes another. Kafka needs a C compiler and make, with `kafka-tls` also perl;
//! the other brokers need a C compiler only, for the cryptography of TLS.
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod brokers;
mod connect;

pub use connect::{ConnectOptions, connect, connect_with};

pub use manager_api as manager;
pub use manager_api::{ClientManager, Emitter, Error, ErrorKind, EventName, NamespaceName, Payload, Room, Sid};

#[cfg(feature = "amqp")]
pub use manager_amqp as amqp;
#[cfg(feature = "kafka")]
pub use manager_kafka as kafka;
#[cfg(feature = "redis")]
pub use manager_redis as redis;

#[cfg(feature = "server")]
pub use socket_io as server;
#[cfg(feature = "server")]
pub use socket_io::{Ack, Auth, Data, Namespace, Refusal, Socket, SocketIo, serve};
