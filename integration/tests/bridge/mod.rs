//! The command `sio bridge` between fleets of python-socketio, of Node and of ours.

mod availability;
mod brokers;
mod features;
mod ours;
mod sharded;
mod support;
