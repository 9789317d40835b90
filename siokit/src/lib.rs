#![cfg_attr(all(feature = "server", feature = "redis"), doc = include_str!("../README.md"))]
// The examples of the README need these features.
#![cfg_attr(
    not(all(feature = "server", feature = "redis")),
    doc = "Socket.IO for Rust, with some features off; see README.md."
)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod brokers;
mod connect;

pub use connect::{ConnectOptions, connect, connect_with};

pub use manager_api as manager;
pub use manager_api::{
    ClientManager, Emitter, Error, ErrorKind, EventName, IdempotencyKey, NamespaceName, Payload, Room, Sid,
};

#[cfg(feature = "amqp")]
pub use manager_amqp as amqp;
#[cfg(feature = "kafka")]
pub use manager_kafka as kafka;
#[cfg(feature = "postgres")]
pub use manager_postgres as postgres;
#[cfg(feature = "redis")]
pub use manager_redis as redis;
#[cfg(feature = "node")]
pub use node_wire as node;

#[cfg(feature = "server")]
pub use socket_io as server;
#[cfg(feature = "server")]
pub use socket_io::{Ack, Auth, Data, Namespace, Refusal, Socket, SocketIo, serve};
