//! Limits and times of a bridge.

use std::time::Duration;

use manager_api::wire::DecodeLimits;

/// Limits and times of a [`Bridge`](crate::Bridge). All bridges of one name should have the same.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// Bytes of messages that wait to be forwarded, for each pair of sides. The active bridge reads the source no further
    /// beyond that, so that the source's manager reports a gap by its own limits; a standby forgets the oldest. A larger
    /// message is admitted alone. Default 64 MiB.
    pub max_waiting_bytes: usize,
    /// Publishes under way at a time, for each pair of sides. Default 1,024; zero counts as one.
    pub max_in_flight: usize,
    /// Requests of servers, and events with acknowledgements, that are carried at a time. Further requests get an empty
    /// response, further events go without acknowledgements; both are counted. Default 16,384.
    pub max_requests: usize,
    /// The longest wait for the responses of the other fleets to a request. Node's servers wait for 5 s unless they are
    /// told otherwise, and do not say. Default 4 s.
    pub request_time: Duration,
    /// How long acknowledgements are passed on for an event that does not say how long its emitter waits. Default 60 s.
    pub ack_time: Duration,
    /// The interval of the beats by which bridges of one name know each other. Default 500 ms.
    pub beat: Duration,
    /// How long the active bridge forwards after it has sent a beat that it received back. Default 1.5 s.
    pub lease: Duration,
    /// How long a standby waits for a beat of the active bridge before it takes over. A publish that begins at the end of
    /// a lease must be complete by then: it must not be shorter than the lease and the deadline of the sides' managers
    /// together. Default 4 s.
    pub takeover: Duration,
    /// How long a bridge that has subscribed, or may have missed messages, leaves what it receives to the active one.
    /// Default 2 s.
    pub settle: Duration,
    /// How much later than another one a bridge may receive a message: the mark of a forwarded message waits for that
    /// message so long, and a bridge leaves what it has received before it was settled to the active one. Default 5 s.
    pub early: Duration,
    /// How long a standby keeps a message that the active bridge no longer has and of which it has seen no mark. Default
    /// 30 s.
    pub forget: Duration,
    /// The interval at which a bridge looks whether it is in the right place on each side: whether there are servers, and
    /// whether it receives all that they publish. Default 60 s.
    pub survey: Duration,
    /// How long a bridge that ends goes on to forward what waits, if no other takes over. Default 5 s.
    pub flush: Duration,
    /// The limits of a message.
    pub limits: DecodeLimits,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            max_waiting_bytes: 64 << 20,
            max_in_flight: 1_024,
            max_requests: 16_384,
            request_time: Duration::from_secs(4),
            ack_time: Duration::from_secs(60),
            beat: Duration::from_millis(500),
            lease: Duration::from_millis(1_500),
            takeover: Duration::from_secs(4),
            settle: Duration::from_secs(2),
            early: Duration::from_secs(5),
            forget: Duration::from_secs(30),
            survey: Duration::from_secs(60),
            flush: Duration::from_secs(5),
            limits: DecodeLimits::default(),
        }
    }
}
