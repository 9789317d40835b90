//! The times of a pipeline: deadlines of messages, keep-alives, replies that are overdue.

use std::sync::Arc;

use manager_api::backend::may_be_published;
use manager_api::deadline;
use tokio::time::Instant;

use super::Pipeline;
use crate::error::{Failure, timed_out};

impl Pipeline<'_> {
    /// Fails overdue jobs, sends a keep-alive if one is due, fails the connection if a reply is overdue, and
    /// resets the timer.
    pub(super) fn check_time(&mut self) -> Result<(), Arc<Failure>> {
        self.queue.expire();
        self.expire_flights();
        let options = &self.queue.link.options;
        if !self.flights.is_empty() && self.last_sign.elapsed() >= options.keepalive_timeout {
            return Err(Arc::new(self.connection.silent(options.keepalive_timeout)));
        }
        let interval = options.keepalive_interval;
        if self.flights.is_empty() && !interval.is_zero() && self.last_sign.elapsed() >= interval {
            self.send_keepalive();
        }
        let next = self.next_check();
        self.timer.as_mut().reset(next);
        Ok(())
    }

    /// Fails the jobs in flight whose deadlines have passed; their replies are still awaited.
    fn expire_flights(&mut self) {
        let deadline = self.queue.deadline();
        for flight in &mut self.flights {
            if flight.job.as_ref().is_some_and(|job| job.since.elapsed() < deadline) {
                break;
            }
            if let Some(job) = flight.job.take() {
                self.queue
                    .fail(job, may_be_published(timed_out(&self.connection.address, deadline)));
            }
        }
    }

    /// Returns when the time is to be checked next.
    fn next_check(&self) -> Instant {
        let options = &self.queue.link.options;
        let oldest = self.flights.iter().find_map(|flight| flight.job.as_ref());
        let due = oldest.map(|job| deadline::from(job.since, self.queue.deadline()));
        let sign = match self.flights.is_empty() {
            true if options.keepalive_interval.is_zero() => None,
            true => Some(deadline::from(self.last_sign, options.keepalive_interval)),
            false => Some(deadline::from(self.last_sign, options.keepalive_timeout)),
        };
        // A message that is sent from now on needs no earlier check.
        let owed = deadline::after(options.keepalive_timeout);
        let next = self.queue.next_due().min(owed);
        [due, sign].into_iter().flatten().fold(next, Instant::min)
    }
}
