//! Tests across crates, brokers, processes and languages; this library is their harness.
//!
//! - [`brokers`] finds or starts the brokers that tests talk to;
//! - [`process`] runs child processes whose output lines are events;
//! - [`proxy`] cuts, stalls and restores TCP connections;
//! - [`client`], [`python`] and [`node`] drive clients and servers of other implementations;
//! - [`managers`] makes managers of every kind;
//! - [`app`] is a server of ours for tests of several processes, [`script`] what random scripts have it do;
//! - [`tools`] says where Python, Node.js and `sio` are.
//!
//! Everything here panics rather than return an error, with what a reader of a failed test needs to know: a test that
//! cannot have its surroundings has failed.

pub mod app;
pub mod brokers;
pub mod client;
pub mod driven;
pub mod managers;
pub mod node;
pub mod process;
pub mod proxy;
pub mod python;
pub mod script;
pub mod tools;

use std::time::Duration;

/// The longest wait of a test for an event that must happen: 60 s, as on a busy machine a client starts for half of that. Only failing tests ever wait that long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The examples of the guide, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
pub struct Guide;

/// The examples of the page about servers on Node, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/node.md")]
pub struct Node;

/// The examples of the page about deployment, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/deploy.md")]
pub struct Deploy;

/// The examples of the page about access, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/access.md")]
pub struct Access;

/// The examples of the page about observability, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/observability.md")]
pub struct Observability;

/// The examples of the page about workers, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/workers.md")]
pub struct Workers;
