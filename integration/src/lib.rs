//! Tests across crates, brokers, processes and languages.
