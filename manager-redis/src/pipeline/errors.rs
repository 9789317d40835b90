//! The error replies to messages: a redirection is followed, anything else is the caller's error.

use manager_api::backend::Job;
use manager_api::{Error, ErrorKind};
use redis::RedisError;

use super::Pipeline;
use crate::error::refused;
use crate::topics::head::slot_of;
use crate::topics::redirection::{MAX_REDIRECTIONS, Redirection};
use crate::topics::routing::Routed;

impl Pipeline<'_> {
    /// Follows a redirection, or fails the message.
    pub(super) fn take_error(&mut self, job: Job, num_redirections: u8, error: RedisError) {
        let redirection = match job.head.is_empty() {
            true => None,
            false => Redirection::of(&error, &self.connection.address).or(later(&error, &job.head)),
        };
        let Some(redirection) = redirection else {
            let channel = &self.queue.link.options.common.channel;
            return self.refuse(job, |address, head| refused(address, channel, head, error));
        };
        // After a pause it begins anew: only the deadline limits the pauses.
        let num_redirections = match redirection {
            Redirection::Later => 0,
            _ => num_redirections + 1,
        };
        if num_redirections > MAX_REDIRECTIONS {
            return self.refuse(job, |address, _| circular(address));
        }
        let routed = Routed {
            job,
            num_redirections,
            is_asking: false,
        };
        self.routing.redirected(redirection, routed, self.flights.len());
    }

    /// Fails the messages that were redirected before one of the same slot was accepted: sent again, they would come after
    /// it.
    pub(super) fn fail_overtaken(&mut self, head: &[u8]) {
        for routed in self.routing.overtaken(head) {
            self.refuse(routed.job, |address, _| overtaken(address));
        }
    }

    /// Fails a message with an error that is made of the address and the words of the command.
    fn refuse(&mut self, job: Job, error: impl FnOnce(&str, &[u8]) -> Error) {
        let error = error(&self.connection.address, &job.head);
        self.queue.status.failed(&error);
        if error.is_refusal() {
            self.queue.status.refused();
        }
        self.queue.fail(job, error);
    }
}

/// Returns whether the command is to be sent again later: the server is not ready for one that writes, and has executed
/// nothing. If it was demoted, its role is noticed meanwhile.
fn later(error: &RedisError, head: &[u8]) -> Option<Redirection> {
    let is_not_ready = matches!(error.code(), Some("LOADING" | "MASTERDOWN" | "READONLY"));
    (is_not_ready && slot_of(head).is_some()).then_some(Redirection::Later)
}

/// Returns the error of a message that was redirected too often.
fn circular(address: &str) -> Error {
    let text = format!(
        "Redis Cluster redirected the message {MAX_REDIRECTIONS} times, at last from {address}: its nodes disagree"
    );
    Error::new(ErrorKind::Publish, text)
}

/// Returns the error of a message whose slot came to a node while that refused it.
fn overtaken(address: &str) -> Error {
    let text = format!(
        "the slot of the message was moved to Redis at {address} just then, and a later message was accepted first"
    );
    Error::new(ErrorKind::Publish, text)
}
