//! Engine sessions: the values that make up their state, the tasks that drive them, and the core
//! that they share.
//!
//! From the bottom up: the values ([`outbox`], [`heartbeat`], [`lifecycle`], [`polling`],
//! [`driver`], together in [`state`]) know limits and the [`clock`], no session; [`core`] is what
//! all sessions share; a [`session`] applies the values under its lock; [`calls`] reach the
//! application; [`ticker`] and [`shedding`] are tasks of an engine.

pub(crate) mod acceptor;
pub(crate) mod admission;
pub(crate) mod calls;
pub(crate) mod cell;
pub(crate) mod clock;
pub(crate) mod core;
pub(crate) mod driver;
pub(crate) mod heartbeat;
pub(crate) mod inbound;
pub(crate) mod lifecycle;
pub(crate) mod outbox;
pub(crate) mod polling;
pub(crate) mod session;
pub(crate) mod shedding;
pub(crate) mod sid;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod ticker;
pub(crate) mod timer;
