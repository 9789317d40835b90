//! ClientManager, messages, wire format, registry, hub, emitter and the in-memory manager.
#![deny(missing_docs)]

mod error;
mod id;
mod manager;
mod memory;
mod message;
mod payload;
mod retry;
mod subscription;
pub mod wire;

pub use error::{Error, ErrorKind};
pub use id::{EventName, HostId, Namespace, RESERVED_EVENTS, Room, Sid};
pub use manager::{ClientManager, Health, ManagerOptions};
pub use memory::{MemoryBus, MemoryManager};
pub use message::{Callback, CallbackAddress, Emit, Envelope, Message, Target};
pub use payload::{Payload, PayloadBuilder};
pub use retry::Backoff;
pub use subscription::{Incoming, MIN_COST, Subscription, SubscriptionSender, Unsubscribed};
