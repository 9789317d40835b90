//! ClientManager, messages, wire format, registry, hub, emitter and the in-memory manager.
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ack;
pub mod backend;
mod broadcast;
mod byte_room;
mod cluster;
mod emitter;
mod error;
mod escaped;
mod hub;
mod id;
pub mod json;
mod limited_log;
mod manager;
mod memory;
mod message;
mod payload;
mod quiet;
mod registry;
mod retry;
mod subscription;
mod tables;
mod turn;
pub mod wire;

pub use ack::{Answer, Answers};
pub use broadcast::{Broadcast, DEFAULT_ACK_TIMEOUT, Scope, Sink};
pub use cluster::{
    AckReport, Ask, Change, DEFAULT_QUESTION_TIMEOUT, Gathered, Part, Question, RemoteSocket, Replies, Reply,
    Selection, ServerAnswer, ServerEvent, ServerEventHandler, SocketInfo, read_data,
};
pub use emitter::Emitter;
pub use error::{Error, ErrorKind};
pub use escaped::Escaped;
pub use hub::{Deliver, Hub, HubMetrics, HubOptions, Pressure};
pub use id::{EventName, HostId, Namespace, RESERVED_EVENTS, Room, Sid};
pub use limited_log::{LimitedLog, Suppressed};
pub use manager::{ClientManager, Health, ManagerOptions};
pub use memory::{MemoryBus, MemoryManager};
pub use message::{Callback, CallbackAddress, Emit, Envelope, Message, Target};
pub use payload::{Payload, PayloadBuilder};
pub use quiet::quietly;
pub use registry::{ClientKey, Member, Recipients, Registry, Removed, RoomLimits};
pub use retry::Backoff;
pub use subscription::{Incoming, MIN_COST, Subscription, SubscriptionSender, Unsubscribed};
