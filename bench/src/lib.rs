//! Benchmarks of a Socket.IO server from outside: one load generator for this project, its peers and the kernel's floor.
//!
//! | module | contents |
//! |---|---|
//! | [`load`] | the client side: WebSocket and long-polling clients that cost little themselves |
//! | [`scenario`] | what a run does: connections, echo, broadcasts, joins under load, a reconnect storm, a broker in between |
//! | [`process`], [`latency`], [`report`] | processor time, memory and latency; one JSON line per run |
//! | [`apps`] | servers and emitters under test: the floor, ours |
//! | [`suite`] | rows of the tables: which scenario, which targets, which figure; runs that alternate; tables and a chart |
//!
//! The generator is one thread on purpose: the other core is left to the server. Figures are processor time of the server divided by
//! operations, and are compared with the floor and with peers in the same round, never by themselves.

pub mod apps;
pub mod latency;
pub mod load;
pub mod process;
pub mod report;
pub mod scenario;
pub mod suite;

/// Completes with SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
