//! A connection: its packets in, and the work that its clients' handlers have to do.

mod allowance;
mod assembly;
mod connect;
mod core;
mod ended;
mod link;
mod load;
mod member;
mod session;
mod unjoined;
mod work;

#[cfg(feature = "admin")]
pub(crate) use self::core::ClientHub;
pub(crate) use self::core::Core;
pub(crate) use link::Connection;
pub(crate) use load::QueuedTotal;
pub(crate) use session::ConnectionSession;
pub(crate) use unjoined::Unjoined;
