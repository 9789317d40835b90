//! What is logged about handlers, in one place so that it names the same things everywhere.
//!
//! Lines that a client can cause by what it sends are limited to one a second each; the number of those left out is in the next.

use std::error::Error as _;
use std::fmt::Display;

use manager_api::LimitedLog;

use crate::client::Client;
use crate::handler::Rejection;
use crate::socket::Socket;

/// A handler's argument cannot be had: what the client sent has another form.
pub(crate) fn unfit_event(client: &Client, event: &str, rejection: &Rejection) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(rejection);
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace) = (&client.sid, &client.namespace.name);
        tracing::warn!(target: "socket_io", %sid, %namespace, %event, %rejection, suppressed, "an event does not fit its handler");
    }
}

/// The same for a connect handler; whoever cannot be asked about is refused.
pub(crate) fn unfit_connect(socket: &Socket, rejection: &Rejection) {
    static LIMIT: LimitedLog = LimitedLog::new();
    detail(rejection);
    if let Some(suppressed) = LIMIT.pass() {
        let namespace = socket.namespace();
        tracing::warn!(target: "socket_io", %namespace, %rejection, suppressed, "a connect handler cannot be called; the client is refused");
    }
}

/// Says what quotes the client, for whoever has chosen to see payloads.
fn detail(rejection: &Rejection) {
    let mut source = rejection.source();
    while let Some(error) = source {
        tracing::trace!(target: "socket_io", %error, "an argument cannot be had");
        source = error.source();
    }
}

/// Middleware does not let an event pass.
pub(crate) fn refused_event(client: &Client, event: &str, reason: &dyn Display) {
    static LIMIT: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = LIMIT.pass() {
        let (sid, namespace) = (&client.sid, &client.namespace.name);
        tracing::warn!(target: "socket_io", %sid, %namespace, %event, %reason, suppressed, "middleware refused an event");
    }
}

/// A handler failed: the application's own fault, so every one is told.
pub(crate) fn failed(client: &Client, what: &str, error: &dyn Display) {
    let (sid, namespace) = (&client.sid, &client.namespace.name);
    tracing::error!(target: "socket_io", %sid, %namespace, event = what, %error, "a handler failed");
}

/// A handler panicked: the client harms nobody else, and goes on itself.
pub(crate) fn panicked(client: &Client, what: &str) {
    let (sid, namespace) = (&client.sid, &client.namespace.name);
    tracing::error!(target: "socket_io", %sid, %namespace, event = what, "a handler panicked");
}
