//! Engine sessions: the values that make up their state, the tasks that drive them, and the core
//! that they share.
//!
//! From the bottom up: the values ([`outbox`], [`heartbeat`], [`lifecycle`], [`polling`],
//! [`driver`], together in [`state`]) know limits and the [`clock`], no session; [`core`] is what
//! all sessions share; a [`session`] applies the values under its lock; [`calls`] reach the
//! application; [`held`] counts incomplete messages; [`ticker`], [`shedding`] and
//! [`inbound_shedding`] are tasks of an engine.
//!
//! # Life of a session
//!
//! 1. A handshake reserves a place ([`admission`]); the [`acceptor`] puts a new session on the
//!    [`table`], schedules its first ping ([`timer`]) and calls the handler, whose session is kept
//!    in a [`cell`].
//! 2. Packets of the client reach that session by [`inbound`] and [`calls`]; packets for the client
//!    wait in the [`outbox`] until a transport takes them.
//! 3. The [`ticker`] calls each session at the tick that it is scheduled for: to ping its client,
//!    or to disconnect one that owes a pong, or reads too slowly.
//! 4. [`close`](session::EngineSession::close) flushes, then closes;
//!    [`fail`](session::EngineSession::fail) closes at once. Both end in
//!    [`close_now`](session::EngineSession::close_now), which takes the session off the table and
//!    wakes the driver; the driver calls the handler's session for the last time, and drops it.
//!
//! # Locks
//!
//! - The lock of a [`cell`] is held while the session of the protocol above runs: the only foreign
//!   code here, so that its calls never overlap.
//! - The lock of a [`state`] is held for a few instructions. It may be taken under that of the
//!   cell, never the other way round. Neither foreign code nor the drop of a session runs under it,
//!   and wakers that were taken under it are called after it, but for those that only schedule a
//!   task.
//! - The locks of the [`table`] and of the [`timer`] are the innermost: nothing is locked under
//!   them.
//! - A task that is spawned under the lock of a state may be dropped at once, with a runtime that
//!   has ended: its drop locks the timer at most.

pub(crate) mod acceptor;
pub(crate) mod admission;
pub(crate) mod calls;
pub(crate) mod cell;
pub(crate) mod clock;
pub(crate) mod core;
pub(crate) mod driver;
pub(crate) mod heartbeat;
pub(crate) mod held;
pub(crate) mod inbound;
pub(crate) mod inbound_shedding;
pub(crate) mod lifecycle;
pub(crate) mod outbox;
pub(crate) mod polling;
pub(crate) mod rate;
pub(crate) mod session;
pub(crate) mod shedding;
pub(crate) mod sid;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod ticker;
pub(crate) mod timer;
