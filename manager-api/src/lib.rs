#![doc = include_str!("../README.md")]
//!
//! # A custom manager
//!
//! Three methods carry bytes; everything specific to Socket.IO is implemented once above them. This manager serves the
//! subscribers of one process. The conformance suite of `manager-testkit` checks whether a manager fulfils the
//! contract.
//!
//! ```
//! use std::sync::Mutex;
//!
//! use manager_api::backend::{check_len, closed};
//! use manager_api::subscription::SubscriptionSender;
//! use manager_api::{ClientManager, Error, ManagerOptions, Subscription, async_trait};
//! use bytes::Bytes;
//!
//! struct Local {
//!     options: ManagerOptions,
//!     /// `None` once the manager is closed.
//!     subscribers: Mutex<Option<Vec<SubscriptionSender>>>,
//! }
//!
//! #[async_trait]
//! impl ClientManager for Local {
//!     async fn publish(&self, message: Bytes) -> Result<(), Error> {
//!         check_len(&message, &self.options)?;
//!         let subscribers = self.subscribers.lock().unwrap().clone().ok_or_else(closed)?;
//!         for subscriber in subscribers {
//!             // A subscriber over its limit misses the message, and is notified of the gap.
//!             if let Ok(false) = subscriber.try_message(message.clone()) {
//!                 let _ = subscriber.gap("the subscriber fell behind");
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     async fn subscribe(&self) -> Result<Subscription, Error> {
//!         let (sender, subscription) = Subscription::channel(self.options.max_buffered_bytes);
//!         let mut subscribers = self.subscribers.lock().unwrap();
//!         let subscribers = subscribers.as_mut().ok_or_else(closed)?;
//!         subscribers.retain(|subscriber| !subscriber.is_closed());
//!         subscribers.push(sender);
//!         Ok(subscription)
//!     }
//!
//!     async fn close(&self) -> Result<(), Error> {
//!         self.subscribers.lock().unwrap().take();
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let manager = Local { options: ManagerOptions::default(), subscribers: Mutex::new(Some(Vec::new())) };
//! let mut subscription = manager.subscribe().await?;
//! let emitter = manager_api::Emitter::new(manager);
//! emitter.to("lobby").emit("news", "hello").await?;
//! assert!(subscription.recv().await.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`broadcast`] | the builder behind every emit: namespace, rooms, exceptions, then a verb |
//! | [`ack`] | acknowledgements of clients, as a stream |
//! | [`cluster`] | requests between servers and their responses: server discovery, lists and counts of clients, events for servers |
//! | [`message`], [`wire`] | the messages between processes, and their encoding: that of python-socketio |
//! | [`payload`] | the arguments of an event: typed values to JSON and attachments, and back |
//! | [`id`] | names validated once: namespaces, rooms, events, clients, hosts |
//! | [`doctor`], [`diagnosis`] | what keeps events from arriving, with evidence and remedy |
//! | [`topics`] | the optional part of the contract: named topics and streams of a broker |
//! | [`replay`] | another optional part: the log of a channel, from a place in the past on |
//! | [`source`] | topics, queues and streams that a consumer group reads and acknowledges, record by record |
//! | [`memory`] | the manager of one process, the reference implementation |
//! | [`measure`], [`trace`] | measurements for metrics; traces of events from the emitter to the delivery |
//! | [`backend`], [`subscription`] | the common parts of managers over a broker, for implementors |
//! | [`byte_budget`], [`tables`], [`turn`], [`deadline`], [`lock`], [`log`], [`json`] | utilities: byte budgets, tables that shrink, loops that yield, deadlines without overflow, locks after a panic, log lines, JSON text |
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod ack;
pub mod backend;
pub mod broadcast;
pub mod byte_budget;
pub mod cluster;
pub mod deadline;
pub mod diagnosis;
pub mod doctor;
mod emitter;
mod error;
pub mod id;
pub mod json;
pub mod lock;
pub mod log;
mod manager;
pub mod measure;
pub mod memory;
pub mod message;
pub mod payload;
pub mod replay;
mod retry;
pub mod source;
pub mod subscription;
pub mod tables;
pub mod topics;
pub mod trace;
pub mod turn;
pub mod wire;

pub use async_trait::async_trait;

pub use broadcast::Broadcast;
pub use emitter::Emitter;
pub use error::{Error, ErrorKind};
pub use id::{EventName, HostId, IdempotencyKey, NamespaceName, Room, Sid};
pub use manager::{ClientManager, Health, ManagerOptions};
pub use payload::Payload;
pub use retry::Backoff;
pub use subscription::{Incoming, Subscription};
