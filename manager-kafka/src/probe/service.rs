//! The names of other services, by how they begin to speak.

/// The most that is read of what another service says, in bytes.
pub(super) const MAX_GREETING: usize = 16;
/// A line that Redis answers; other services of lines find fault with it.
pub(super) const LINE: &[u8] = b"PING\r\n\r\n";

/// How services begin to speak, and what they are called.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"HTTP/", "an HTTP server"),
    (b"<", "an HTTP server"),
    (b"SSH-", "an SSH server"),
    (b"AMQP", "RabbitMQ, or another server of AMQP"),
    (b"+PONG", "Redis"),
    (b"-NOAUTH", "Redis"),
    (b"-DENIED", "Redis"),
    (b"-ERR", "Redis"),
    (b"220", "a mail or FTP server"),
];

/// Names what said `greeting`.
pub(super) fn name(greeting: &[u8]) -> &'static str {
    let known = BEGINNINGS.iter().find(|(beginning, _)| greeting.starts_with(beginning));
    known.map_or("another service", |(_, name)| name)
}
