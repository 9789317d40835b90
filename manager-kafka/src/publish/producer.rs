//! The producer of librdkafka: the messages passed to it, and its delivery reports.

use std::sync::Arc;

use bytes::Bytes;
use manager_api::Error;
use manager_api::backend::may_be_published;
use manager_api::byte_budget::BytePermit;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Core;
use super::flight::FlightGuard;
use crate::connect::Connector;
use crate::context::Context;
use crate::error::{Failure, not_delivered, timed_out};
use crate::status::{Role, Status};

/// A producer that is released on a thread of its own, because releasing takes long.
pub(crate) struct Producer(Option<ThreadedProducer<Context>>);

/// One message to be passed to librdkafka.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) message: Bytes,
    pub(super) since: Instant,
    pub(super) ticket: Box<Ticket>,
}

/// The caller that waits for a message's acceptance; passes through librdkafka with the message.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
    pub(super) len: usize,
    pub(super) connector: Arc<Connector>,
    // Released after the reply, in this order.
    pub(super) _permit: BytePermit,
    pub(super) _flight: FlightGuard,
}

/// Returns the error of a call whose deadline passed.
pub(super) fn overdue(connector: &Connector, status: &Status) -> Error {
    match status.failure(Role::Publishing) {
        Some(failure) => failure.unreachable(connector.label(), connector.deadline()),
        None => timed_out(connector.label(), connector.deadline()),
    }
}

impl Producer {
    /// Creates a producer, which connects at once.
    pub(crate) fn new(core: &Core) -> Result<Self, KafkaError> {
        let context = Context {
            status: core.status.clone(),
            role: Role::Publishing,
            trouble: core.trouble.clone(),
            topic: core.connector.topic().to_owned(),
        };
        let producer = core.connector.producer().create_with_context(context)?;
        Ok(Self(Some(producer)))
    }

    /// Passes `job` to librdkafka; an error comes with the ticket of its caller.
    pub(super) fn send(&self, connector: &Connector, job: Job) -> Result<(), (KafkaError, Box<Ticket>)> {
        let record = BaseRecord::with_opaque_to(connector.topic(), job.ticket)
            .key(connector.host_id.as_str())
            .payload(&job.message[..]);
        let producer = self.0.as_ref().expect("taken only by the release");
        let sent = producer.send(record);
        sent.map_err(|(error, record)| (error, record.delivery_opaque))
    }

    /// Returns the fatal error of a client that is unusable.
    pub(super) fn lost_for(&self, connector: &Connector) -> Option<Failure> {
        let (code, text) = self.client().fatal_error()?;
        Some(Failure::reported(connector.topic(), KafkaError::Global(code), &text))
    }

    /// Fails every message that was not accepted yet.
    pub(super) fn purge(&self) {
        let producer = self.0.as_ref().expect("taken only by the release");
        producer.purge(PurgeConfig::default().queue().inflight());
    }

    /// Returns the client, for requests.
    pub(crate) fn client(&self) -> &rdkafka::client::Client<Context> {
        self.0.as_ref().expect("taken only by the release").client()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let producer = self.0.take();
        // Without a thread the closure is dropped here, which is slow but does the same.
        let release = std::thread::Builder::new().name("sio-kafka-release".to_owned());
        let _ = release.spawn(move || drop(producer));
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let error = match result {
            Ok(_) => {
                self.status.published();
                return ticket.answer(Ok(()));
            }
            Err((error, _)) => error.clone(),
        };
        self.status.common.publish_failed();
        let code = error.rdkafka_error_code();
        self.trouble.note(code);
        let error = match code {
            Some(
                RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::TimedOutQueue,
            ) => {
                self.status.down(Role::Publishing);
                // librdkafka does not report whether a request with it is on the wire.
                may_be_published(overdue(&ticket.connector, &self.status))
            }
            // Without the right to write, a client of librdkafka is unusable; the cause was reported before.
            Some(RDKafkaErrorCode::Fatal) if self.is_refused() => overdue(&ticket.connector, &self.status),
            // Purged before it was sent, and after.
            Some(RDKafkaErrorCode::PurgeQueue) => overdue(&ticket.connector, &self.status),
            Some(RDKafkaErrorCode::PurgeInflight) => may_be_published(overdue(&ticket.connector, &self.status)),
            _ => {
                let error = not_delivered(ticket.connector.label(), ticket.connector.topic(), ticket.len, error);
                // Some of these codes mean that the leader alone has it.
                match error.is_retryable() {
                    true => may_be_published(error),
                    false => error,
                }
            }
        };
        ticket.answer(Err(error));
    }
}

impl Context {
    /// Returns whether the latest failure is a refusal.
    fn is_refused(&self) -> bool {
        let failure = self.status.failure(Role::Publishing);
        failure.is_some_and(|failure| failure.is_refused())
    }
}

impl Ticket {
    /// Notifies the caller, if it still waits.
    pub(super) fn answer(self, result: Result<(), Error>) {
        let _ = self.reply.send(result);
    }
}
