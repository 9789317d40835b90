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

pub(crate) use self::core::{ClientHub, Core};
pub(crate) use link::Connection;
pub(crate) use load::QueuedTotal;
pub(crate) use session::ConnectionSession;
pub(crate) use unjoined::Unjoined;
