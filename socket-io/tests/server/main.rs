//! The server over real sockets, packet by packet.

mod acks;
mod client;
mod connect;
mod events;
mod hosting;
mod lifecycle;
