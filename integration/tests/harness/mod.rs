//! Tests of the harness itself, of the documents, and of the other implementations among themselves.

mod documents;
mod peers;
mod prepare;
mod process;
mod proxy;
mod redis;
mod targets;
