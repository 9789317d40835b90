//! The meaning of RabbitMQ's reply codes and texts: which are refusals, and which right is missing.

use std::io;

use manager_api::backend::tls;
use manager_api::diagnosis::Code;

use crate::error::{Step, Thing};

/// AMQP reply codes.
const CONTENT_TOO_LARGE: u16 = 311;
const CONNECTION_FORCED: u16 = 320;
const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;
const NOT_IMPLEMENTED: u16 = 540;
const INTERNAL_ERROR: u16 = 541;

/// Whether another attempt may succeed soon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hope {
    Some,
    /// No: the login is wrong or insufficient.
    Refused,
    /// No: a declaration, ours or the existing one, cannot be used, or the URL leads to another service.
    Mismatch,
    /// The broker accepts no messages from any publisher for now.
    Blocked,
}

/// Explains a reply, and whether another attempt may succeed.
pub(crate) fn explained(step: &Step, code: u16, text: &str) -> (Hope, String) {
    let text = text.trim();
    match code {
        ACCESS_REFUSED => (Hope::Refused, access_refused(step, text)),
        NOT_ALLOWED => not_allowed(text),
        PRECONDITION_FAILED => precondition_failed(step, text),
        CONTENT_TOO_LARGE => (Hope::Some, too_large(text)),
        NOT_IMPLEMENTED => (Hope::Mismatch, format!("it does not know what was asked for: {text}")),
        code if is_unsupported(code, text) => (Hope::Mismatch, deprecated(step, text)),
        _ => (Hope::Some, text.to_owned()),
    }
}

/// Returns what a diagnosis calls the cause of a reply.
pub(crate) fn cause_of(step: &Step, code: u16, text: &str) -> Code {
    match (code, step) {
        (ACCESS_REFUSED, Step::Login | Step::Use) => Code::Login,
        (ACCESS_REFUSED, _) => Code::MissingRight,
        // The broker stops; or a limit of connections, or a virtual host that is starting.
        (CONNECTION_FORCED, _) => Code::Unreachable,
        (NOT_ALLOWED, _) if not_allowed(text).0 == Hope::Some => Code::Unreachable,
        (NOT_ALLOWED, _) => Code::VirtualHost,
        (PRECONDITION_FAILED, Step::Declare(Thing::Exchange(_))) => Code::ForeignExchange,
        (PRECONDITION_FAILED, Step::Declare(Thing::Queue(_))) => Code::QueueRefused,
        (code, Step::Declare(Thing::Queue(_))) if is_unsupported(code, text) => Code::QueueRefused,
        _ => Code::Refused,
    }
}

/// The code of a refused feature in versions that close the channel; others close the connection.
const NOT_ALLOWED_BY_FEATURE: u16 = 405;

/// Returns whether a reply refuses a feature that newer versions have deprecated.
pub(crate) fn is_unsupported(code: u16, text: &str) -> bool {
    matches!(code, INTERNAL_ERROR | NOT_ALLOWED_BY_FEATURE | PRECONDITION_FAILED) && is_deprecated(text)
}

/// Returns whether a reply concerns a deprecated feature.
fn is_deprecated(text: &str) -> bool {
    text.contains("deprecated") || text.contains("transient_nonexcl_queues")
}

/// Explains the refusal of a deprecated feature.
fn deprecated(step: &Step, text: &str) -> String {
    match step {
        Step::Declare(Thing::Queue(_)) => format!(
            "it takes no queues of this kind any more; choose another one, as by ?queue=durable in the URL ({text})"
        ),
        _ => format!("it does not permit this any more: {text}"),
    }
}

/// Returns the text of a missing right: `configure`, `write` or `read`, and its object.
fn access_refused(step: &Step, text: &str) -> String {
    let right = match step {
        Step::Login | Step::Use => {
            return match text.contains("Login was refused") || text.contains("LOGIN") {
                true => format!("user or password is wrong: {text}"),
                false => format!("refused: {text}"),
            };
        }
        Step::Declare(thing) => format!("\"configure\" on {thing}"),
        Step::Bind { queue, .. } if text.contains(&format!("queue '{queue}'")) => {
            format!("\"write\" on {}", Thing::Queue(queue.clone()))
        }
        Step::Bind { exchange, .. } => format!("\"read\" on {}", Thing::Exchange(exchange.clone())),
        Step::Consume(queue) => format!("\"read\" on {}", Thing::Queue(queue.clone())),
        Step::Publish(exchange) => format!("\"write\" on {}", Thing::Exchange(exchange.clone())),
    };
    format!("the user lacks the right {right}: {text}")
}

/// Explains a refused virtual host, or a limit.
fn not_allowed(text: &str) -> (Hope, String) {
    // Limits, and virtual hosts that are starting, are transient.
    if text.contains("limit") || text.contains("is down") {
        return (Hope::Some, text.to_owned());
    }
    let what = if text.contains("not found") {
        format!("there is no such virtual host: {text}")
    } else if text.contains("access to vhost") {
        format!("the user has no rights in this virtual host: {text}")
    } else {
        format!("refused: {text}")
    };
    (Hope::Refused, what)
}

/// Explains a failed precondition, which has several causes.
fn precondition_failed(step: &Step, text: &str) -> (Hope, String) {
    if text.contains("inequivalent arg") {
        let what = match step {
            Step::Declare(thing) => format!("{thing} exists and was declared differently: {text}"),
            _ => format!("declared differently: {text}"),
        };
        return (Hope::Mismatch, what);
    }
    if is_deprecated(text) {
        return (Hope::Mismatch, deprecated(step, text));
    }
    if text.contains("max size") || text.contains("max_message_size") {
        return (Hope::Some, too_large(text));
    }
    match step {
        Step::Declare(thing) => (Hope::Mismatch, format!("{thing} cannot be declared like this: {text}")),
        // A consumer that did not acknowledge in time, for example: it reconnects.
        _ => (Hope::Some, text.to_owned()),
    }
}

/// Explains the refusal of a message for its size.
fn too_large(text: &str) -> String {
    format!("a message is over the broker's own limit (max_message_size): {text}")
}

/// Explains an error of the socket, that of TLS included.
pub(crate) fn of_io(error: &io::Error) -> (Hope, String) {
    match tls::explained(error) {
        (true, what) => (Hope::Refused, what),
        (false, what) => (Hope::Some, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKETIO: &str = "socketio";

    fn queue() -> Step {
        Step::Declare(Thing::Queue("sio.1".to_owned()))
    }

    #[test]
    fn each_missing_right_is_named() {
        let bind = Step::Bind {
            queue: "sio.1".to_owned(),
            exchange: SOCKETIO.to_owned(),
        };
        let exchange = Step::Declare(Thing::Exchange(SOCKETIO.to_owned()));
        for (step, text, right) in [
            (
                exchange,
                "access to exchange 'socketio' in vhost '/' refused for user 'u'",
                "\"configure\" on the exchange \"socketio\"",
            ),
            (
                queue(),
                "access to queue 'sio.1' in vhost '/' refused for user 'u'",
                "\"configure\" on the queue \"sio.1\"",
            ),
            (
                bind.clone(),
                "access to queue 'sio.1' in vhost '/' refused for user 'u'",
                "\"write\" on the queue \"sio.1\"",
            ),
            (
                bind,
                "read access to exchange 'socketio' in vhost '/' refused for user 'u'",
                "\"read\" on the exchange \"socketio\"",
            ),
            (
                Step::Consume("sio.1".to_owned()),
                "access to queue 'sio.1' refused",
                "\"read\" on the queue \"sio.1\"",
            ),
            (
                Step::Publish(SOCKETIO.to_owned()),
                "access to exchange 'socketio' refused",
                "\"write\" on the exchange \"socketio\"",
            ),
            (
                Step::Login,
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.",
                "password is wrong",
            ),
        ] {
            let is_login = step == Step::Login;
            let cause = if is_login { Code::Login } else { Code::MissingRight };
            assert_eq!(cause_of(&step, ACCESS_REFUSED, text), cause);
            let (hope, said) = explained(&step, ACCESS_REFUSED, text);
            assert_eq!(hope, Hope::Refused, "{said}");
            assert!(said.contains(right), "{said}");
        }
    }

    #[test]
    fn the_causes_of_a_failed_precondition_are_told_apart() {
        for (step, text, hope, said) in [
            (
                queue(),
                "inequivalent arg 'durable' for queue 'sio.1'",
                Hope::Mismatch,
                "declared differently",
            ),
            (
                queue(),
                "invalid arg 'x-expires' for queue 'sio.1'",
                Hope::Mismatch,
                "cannot be declared like this",
            ),
            (
                Step::Use,
                "delivery acknowledgement on channel 1 timed out",
                Hope::Some,
                "timed out",
            ),
            (
                Step::Publish(SOCKETIO.to_owned()),
                "message size 9 is larger than configured max size 8",
                Hope::Some,
                "max_message_size",
            ),
        ] {
            let is_queue = matches!(step, Step::Declare(Thing::Queue(_)));
            let cause = if is_queue { Code::QueueRefused } else { Code::Refused };
            assert_eq!(cause_of(&step, PRECONDITION_FAILED, text), cause);
            let (found, text) = explained(&step, PRECONDITION_FAILED, text);
            assert_eq!(found, hope, "{text}");
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_kind_of_queue_that_newer_versions_refuse_is_a_matter_of_options() {
        let text = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.";
        let (hope, said) = explained(&queue(), INTERNAL_ERROR, text);
        assert_eq!(hope, Hope::Mismatch);
        assert!(said.contains("?queue=durable"), "{said}");
        assert_eq!(cause_of(&queue(), INTERNAL_ERROR, text), Code::QueueRefused);
        assert_eq!(explained(&queue(), INTERNAL_ERROR, "INTERNAL_ERROR").0, Hope::Some);
    }

    #[test]
    fn a_limit_of_connections_is_an_outage_and_a_missing_virtual_host_is_not() {
        for (text, hope) in [
            ("vhost nope not found", Hope::Refused),
            ("access to vhost 'x' refused for user 'u'", Hope::Refused),
            (
                "access to vhost '/' refused for user 'u': connection limit (1) is reached",
                Hope::Some,
            ),
            ("vhost '/' is down", Hope::Some),
        ] {
            assert_eq!(explained(&Step::Login, NOT_ALLOWED, text).0, hope, "{text}");
            let is_refused = cause_of(&Step::Login, NOT_ALLOWED, text) == Code::VirtualHost;
            assert_eq!(is_refused, hope == Hope::Refused, "{text}");
        }
    }
}
