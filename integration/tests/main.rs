//! Tests across crates, brokers, processes and languages: one binary, these modules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod admin_ui;
mod amqp;
mod bridge;
mod clients;
mod cluster;
mod cluster_wide;
mod commands;
mod conformance;
mod connect;
mod deploy;
mod doctor;
mod examples;
mod faults;
mod harness;
mod interop;
mod kafka;
mod node;
mod observed;
mod packaging;
mod postgres;
mod random_cluster;
mod redis;
mod relay;
mod repeats;
mod secrets;
mod served;
mod support;
mod workers;
