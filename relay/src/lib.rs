#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `mapping.rs`, `template.rs`, `pointer.rs` | mappings; their templates; JSON pointers |
//! | `relay.rs` | the relay: options, start and end |
//! | `flow.rs`, `flow/lanes.rs`, `flow/reader.rs` | records under way; their order; the task that reads |
//! | `lines.rs` | the source of lines: standard input, files |
//! | `status.rs`, `metrics.rs` | counters and health; the page for Prometheus |
#![deny(missing_docs)]

mod flow;
mod lines;
mod mapping;
mod metrics;
mod pointer;
mod relay;
mod status;
mod template;

pub use lines::{DeadLines, LinesSource};
pub use mapping::{
    BodyKind, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_ROOMS, Map, MapConfig, MapError, Mapped, Mapping, Unmapped,
    check_whole,
};
pub use metrics::{METRICS, Metric};
pub use relay::{Relay, RelayError, RelayOptions};
pub use status::{Numbers, RelayStatus};
