//! An engine behind plain hyper, looked at byte by byte over real TCP.

mod handshake;
mod heartbeat;
mod limits;
mod polling;
mod support;
mod upgrade;
mod websocket;
