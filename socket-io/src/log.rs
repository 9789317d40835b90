//! The log lines about handlers, in one place so that they name the same things everywhere.
//!
//! Lines that a client can cause by what it sends are limited to one a second each; the number of those left out is in the next. Names of
//! events and namespaces, and errors that may quote them, are a client's choice: they are cut, escaped and quoted, so that none of them ends a
//! line, begins another or adds a field.

use std::error::Error as StdError;
use std::fmt;

use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::{ErrorKind, EventName, NamespaceName, Sid};

use crate::extract::Rejection;

/// What a line names a client by.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) sid: &'a Sid,
    pub(crate) namespace: &'a NamespaceName,
}

/// What is told of the name of an event or a namespace, in bytes.
const MAX_NAME: usize = 100;

/// A handler's argument cannot be had: what the client sent has another form.
pub(crate) fn unfit_event(client: Subject<'_>, event: &str, rejection: &Rejection) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(rejection);
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace) = (client.sid, name(client.namespace.as_str()));
        let event = name(event);
        quietly(
            || tracing::warn!(target: "socket_io", %sid, namespace, event, rejection = ?Escaped(rejection), suppressed, "an event does not fit its handler"),
        );
    }
}

/// The same for a connect handler; its client is refused.
pub(crate) fn unfit_connect(client: Subject<'_>, rejection: &Rejection) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(rejection);
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace) = (client.sid, name(client.namespace.as_str()));
        quietly(
            || tracing::warn!(target: "socket_io", %sid, namespace, rejection = ?Escaped(rejection), suppressed, "a connect handler cannot be called; the client is refused"),
        );
    }
}

/// An error and its sources, down to those that may quote the client.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(source) = error.source().filter(|_| !has_quoting_source(error)) {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}

/// Returns whether the text of an error's source may hold values that the client sent.
fn has_quoting_source(error: &(dyn StdError + 'static)) -> bool {
    let is_malformed = |error: &manager_api::Error| error.kind() == ErrorKind::Malformed;
    error.is::<Rejection>() || error.downcast_ref().is_some_and(is_malformed)
}

/// Logs all sources, those that quote the client among them, at the level that shows payloads.
fn detail(error: &(dyn StdError + 'static)) {
    let mut source = error.source();
    while let Some(error) = source {
        quietly(|| tracing::trace!(target: "socket_io", error = ?Escaped(error), "the source of the next error"));
        source = error.source();
    }
}

/// Middleware does not let an event pass.
pub(crate) fn refused_event(client: Subject<'_>, event: &str, reason: &(dyn StdError + 'static)) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(reason);
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace) = (client.sid, name(client.namespace.as_str()));
        let event = name(event);
        quietly(
            || tracing::warn!(target: "socket_io", %sid, namespace, event, reason = ?Escaped(Chain(reason)), suppressed, "middleware refused an event"),
        );
    }
}

/// No handler for an event.
pub(crate) fn unhandled_event(client: Subject<'_>, event: &str) {
    static LIMIT: LimitedLog = LimitedLog::new();
    if !tracing::enabled!(target: "socket_io", tracing::Level::DEBUG) {
        return;
    }
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace, event) = (client.sid, name(client.namespace.as_str()), name(event));
        quietly(|| tracing::debug!(target: "socket_io", %sid, namespace, event, suppressed, "no handler for an event"));
    }
}

/// A handler failed: the application's own fault, but one that a client may repeat; [`Metrics`](crate::metrics::Metrics) count every one.
pub(crate) fn failed(client: Subject<'_>, what: &str, error: &(dyn StdError + 'static)) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(error);
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace, event) = (client.sid, name(client.namespace.as_str()), name(what));
        quietly(
            || tracing::error!(target: "socket_io", %sid, namespace, event, error = ?Escaped(Chain(error)), suppressed, "a handler failed"),
        );
    }
}

/// A handler panicked: no other client is affected, and this one goes on.
pub(crate) fn panicked(client: Subject<'_>, what: &str) {
    static LIMIT: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace, event) = (client.sid, name(client.namespace.as_str()), name(what));
        quietly(|| tracing::error!(target: "socket_io", %sid, namespace, event, suppressed, "a handler panicked"));
    }
}

/// A packet has more attachments than JavaScript's clients accept.
pub(crate) fn many_attachments(namespace: &NamespaceName, event: &str, attachments: usize, accepted: usize) {
    static LIMIT: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = LIMIT.pass() {
        let (namespace, event) = (name(namespace.as_str()), name(event));
        let text = "a packet has more attachments than JavaScript's clients accept: they close the connection";
        quietly(|| tracing::warn!(target: "socket_io", namespace, event, attachments, accepted, suppressed, "{text}"));
    }
}

/// The handler of an event that another server sent failed.
pub(crate) fn failed_for_server(event: &EventName, error: &(dyn StdError + 'static)) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(error);
    if let Some(suppressed) = LIMIT.pass() {
        let event = name(event.as_str());
        quietly(
            || tracing::error!(target: "socket_io", event, error = ?Escaped(Chain(error)), suppressed, "the handler of an event of another server failed"),
        );
    }
}

/// Cuts a name. As a value of text it is quoted and escaped by what writes the line, and a string where that is JSON.
pub(crate) fn name(name: &str) -> &str {
    let is_boundary = |at: &usize| name.is_char_boundary(*at);
    let end = (0..=MAX_NAME.min(name.len())).rev().find(is_boundary);
    &name[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use manager_api::Error;

    use super::*;

    fn chain(error: &(dyn StdError + 'static)) -> String {
        Chain(error).to_string()
    }

    #[test]
    fn an_error_is_written_with_all_its_sources() {
        let refused = std::io::Error::other("refused");
        let lost = Error::new(ErrorKind::Connect, "the database is gone").with_source(refused);
        let error = Error::new(ErrorKind::Config, "no order").with_source(lost);
        assert_eq!(chain(&error), "no order: the database is gone: refused");
        assert_eq!(chain(&std::io::Error::other("alone")), "alone");
    }

    #[test]
    fn what_may_quote_a_client_is_not_written() {
        let secret = || std::io::Error::other("invalid value \"a secret\"");
        let malformed = Error::new(ErrorKind::Malformed, "another form").with_source(secret());
        assert_eq!(chain(&malformed), "another form");
        let within = Error::new(ErrorKind::Config, "no order").with_source(malformed);
        assert_eq!(chain(&within), "no order: another form");
        assert_eq!(chain(&Rejection::new("no user").with_source(secret())), "no user");
    }
}
