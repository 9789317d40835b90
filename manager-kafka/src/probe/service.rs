//! The names of other services, by the beginning of their responses.

/// The maximum length, in bytes, that is read of another service's response.
pub(super) const MAX_GREETING: usize = 16;
/// A line that Redis responds to; other line-based services report an error.
pub(super) const LINE: &[u8] = b"PING\r\n\r\n";

/// The beginnings of services' responses, and their names.
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

/// Returns the name of the service that sent `greeting`.
pub(super) fn name(greeting: &[u8]) -> &'static str {
    let known = BEGINNINGS.iter().find(|(beginning, _)| greeting.starts_with(beginning));
    known.map_or("another service", |(_, name)| name)
}
