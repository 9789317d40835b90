//! Tests of an engine behind plain hyper, byte by byte over real TCP.

#![allow(clippy::unwrap_used)] // in the helpers of tests, too

mod client;
mod compression;
mod cookie;
mod handshake;
mod heartbeat;
mod lenient;
mod limits;
mod logging;
mod origin;
mod origin_table;
mod polling;
mod protocol;
mod runtimes;
mod shutdown;
mod stress;
mod support;
mod turns;
mod unfinished;
mod unread;
mod upgrade;
mod websocket;
