//! The suite on managers, topics and logs that are broken on purpose: each case must notice.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod managers;
mod replay;
mod topics;
