//! What is finite about a hub.

use std::time::Duration;

use crate::cluster::Limits;

/// Limits of a hub.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// How long questions of other processes wait for this host's clients, when they do not say. Default 60 s.
    pub ack_timeout: Duration,
    /// The longest `ack_timeout` that another process may ask for. Default 10 min.
    pub max_ack_timeout: Duration,
    /// Acknowledgements and answers for other processes that may wait for the broker; more are dropped, counted and logged. Default 8,192.
    pub max_queued_callbacks: usize,
    /// The bytes that these may take together, those that the broker has not yet taken included; one that is larger passes alone. Default
    /// 64 MiB.
    pub max_queued_callback_bytes: usize,
    /// Acknowledgements of this host's clients that may be expected for other processes, one for each recipient of each event; beyond, events
    /// are delivered without asking for any, counted and logged. Default 1,000,000.
    pub max_expected_answers: usize,
    /// Other servers that are remembered; beyond, the one that was silent for the longest time is forgotten. Default 1,024.
    pub max_servers: usize,
    /// Questions to the other servers that may be open; more are refused as [`Busy`](crate::ErrorKind::Busy). Default 1,024.
    pub max_questions: usize,
    /// Clients that the answers to one question may name, of one server and of all together. Default 100,000.
    pub max_sockets: usize,
    /// Events for this server that may wait for their handlers; more are dropped, counted and logged. Default 1,024.
    pub max_queued_server_events: usize,
    /// The bytes that these may take together, those that are being handled included; one that is larger passes alone. Default 64 MiB.
    pub max_queued_server_event_bytes: usize,
    /// The bytes that acknowledgements for this process may take together while nobody takes them; more are dropped, counted and logged. One
    /// that is larger passes alone. Default 64 MiB.
    pub max_waiting_answer_bytes: usize,
    /// The bytes that answers of other servers may take together while nobody takes them; more are dropped, and their servers are missing
    /// then. One that is larger passes alone. Default 64 MiB.
    pub max_waiting_reply_bytes: usize,
    /// How long the other servers have to say that they are there when this one begins to listen; questions wait so long. Default 1 s.
    pub presence_wait: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(60),
            max_ack_timeout: Duration::from_secs(600),
            max_queued_callbacks: 8_192,
            max_queued_callback_bytes: 64 << 20,
            max_expected_answers: 1_000_000,
            max_servers: 1_024,
            max_questions: 1_024,
            max_sockets: 100_000,
            max_queued_server_events: 1_024,
            max_queued_server_event_bytes: 64 << 20,
            max_waiting_answer_bytes: 64 << 20,
            max_waiting_reply_bytes: 64 << 20,
            presence_wait: Duration::from_secs(1),
        }
    }
}

impl HubOptions {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_servers: self.max_servers,
            max_questions: self.max_questions,
            max_sockets: self.max_sockets,
            max_waiting_reply_bytes: self.max_waiting_reply_bytes,
            presence_wait: self.presence_wait,
        }
    }
}
