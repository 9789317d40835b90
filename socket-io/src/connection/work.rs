//! The work of the handlers of one client: one thing at a time, in order.

mod filter;

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use manager_api::measure::{self, Quantity};
use manager_api::{EventName, Payload};

use super::load::Load;
use crate::client::Client;
use crate::error::Refusal;
use crate::handler::{BoxHandler, ConnectContext, DisconnectContext, EventContext, Handled, MiddlewareContext};
use crate::log;
use filter::Filtered;

/// Handlers that one turn of a connection's task runs at most, so that others get theirs.
pub(super) const BUDGET: usize = 128;

/// Places of a queue when the first job comes.
const FIRST_QUEUE: usize = 8;

/// Something for a handler to do.
pub(super) enum Job {
    Connect(BoxHandler<ConnectContext>, ConnectContext),
    Event(BoxHandler<EventContext>, EventContext, Option<u64>),
    /// An event that has to pass middleware first, and may have no handler behind it.
    Filtered(
        Box<[BoxHandler<MiddlewareContext>]>,
        Option<BoxHandler<EventContext>>,
        EventContext,
        Option<u64>,
    ),
    Disconnect(BoxHandler<DisconnectContext>, DisconnectContext),
}

/// A handler at work.
enum Running {
    Connect(Handled<ConnectContext>),
    Event(Handled<EventContext>, EventName, Option<u64>),
    Filtered(BoxFuture<'static, Filtered>, EventName, Option<u64>),
    Disconnect(Handled<DisconnectContext>),
}

/// The queue of one client, and its head.
#[derive(Default)]
pub(super) struct Work {
    running: Option<Running>,
    queue: VecDeque<Job>,
}

impl Work {
    pub(super) fn push(&mut self, job: Job, load: &mut Load) {
        load.events += 1;
        load.bytes += job.size();
        // As clients send several at once, and as much as the allocator of the system hands out fast.
        if self.queue.capacity() == 0 {
            self.queue.reserve_exact(FIRST_QUEUE);
        }
        self.queue.push_back(job);
    }

    pub(super) fn is_done(&self) -> bool {
        self.running.is_none() && self.queue.is_empty()
    }

    /// Runs handlers until one has to wait, the queue is empty, or the budget is used up.
    pub(super) fn poll(
        &mut self,
        client: &Arc<Client>,
        load: &mut Load,
        budget: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if client.is_closed() && matches!(self.running, Some(Running::Connect(_))) {
                // There is no client to accept any more; a handler that hangs would keep the connection in memory.
                self.running = None;
            }
            if let Some(running) = &mut self.running {
                match catch_unwind(AssertUnwindSafe(|| running.poll(client, cx))) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(())) => {}
                    Err(_) => running.panicked(client),
                }
                self.running = None;
            }
            if *budget == 0 {
                return if self.is_done() { Poll::Ready(()) } else { Poll::Pending };
            }
            let Some(job) = self.queue.pop_front() else {
                self.give_back();
                return Poll::Ready(());
            };
            *budget -= 1;
            load.events -= 1;
            load.bytes -= job.size();
            // What its client sent before it learned that the server is done with it.
            let is_void = client.is_disconnected() && !matches!(job, Job::Disconnect(..));
            self.running = (!is_void).then(|| job.start());
        }
    }

    /// An idle client keeps no memory for the burst it once sent.
    fn give_back(&mut self) {
        if self.queue.capacity() > 0 {
            self.queue = VecDeque::new();
        }
    }
}

impl Job {
    pub(super) fn size(&self) -> usize {
        match self {
            Job::Event(_, context, _) | Job::Filtered(_, _, context, _) => context.payload.size(),
            Job::Connect(_, context) => context.auth.size(),
            Job::Disconnect(..) => 0,
        }
    }

    /// Calls the handler, which does nothing before it is polled.
    fn start(self) -> Running {
        match self {
            Job::Connect(handler, context) => Running::Connect(handler.call(context)),
            Job::Event(handler, context, ack) => {
                let event = context.event.clone();
                Running::Event(measured(handler.call(context)), event, ack)
            }
            Job::Filtered(steps, handler, context, ack) => {
                let event = context.event.clone();
                Running::Filtered(measured(Box::pin(filter::run(steps, handler, context))), event, ack)
            }
            Job::Disconnect(handler, context) => Running::Disconnect(handler.call(context)),
        }
    }
}

/// Measures how long a handler takes, for some of them.
fn measured<T: Send + 'static>(handled: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
    match measure::is_sampled(Quantity::HandlerTime) {
        true => Box::pin(measure::timed(Quantity::HandlerTime, handled)),
        false => handled,
    }
}

impl Running {
    fn poll(&mut self, client: &Arc<Client>, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Running::Connect(future) => future.as_mut().poll(cx).map(|handled| match handled {
                Ok(Ok(())) => client.accept(),
                Ok(Err(refusal)) => client.refuse(&refusal),
                Err(rejection) => {
                    log::unfit_connect(client.subject(), &rejection);
                    client.refuse(&Refusal::default());
                }
            }),
            Running::Event(future, event, ack) => future.as_mut().poll(cx).map(|handled| match handled {
                Ok(Ok(payload)) => acknowledge(client, event, &payload, *ack),
                Ok(Err(error)) => failed(client, event.as_str(), &*error),
                Err(rejection) => log::unfit_event(client.subject(), event.as_str(), &rejection),
            }),
            Running::Filtered(future, event, ack) => future.as_mut().poll(cx).map(|filtered| match filtered {
                Filtered::Handled(payload) => acknowledge(client, event, &payload, *ack),
                Filtered::Unhandled => {}
                Filtered::Refused(reason) => log::refused_event(client.subject(), event.as_str(), &*reason),
                Filtered::Unfit(rejection) => log::unfit_event(client.subject(), event.as_str(), &rejection),
                Filtered::Failed(error) => failed(client, event.as_str(), &*error),
            }),
            Running::Disconnect(future) => future.as_mut().poll(cx).map(|handled| match handled {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed(client, "disconnect", &*error),
                Err(rejection) => failed(client, "disconnect", &rejection),
            }),
        }
    }

    /// A connect handler that panicked has not accepted its client.
    fn panicked(&self, client: &Arc<Client>) {
        match self {
            Running::Connect(_) => {
                panicked(client, "connect");
                client.refuse(&Refusal::default());
            }
            Running::Event(_, event, _) | Running::Filtered(_, event, _) => panicked(client, event.as_str()),
            Running::Disconnect(_) => panicked(client, "disconnect"),
        }
    }
}

fn acknowledge(client: &Client, event: &EventName, payload: &Payload, ack: Option<u64>) {
    let Some(id) = ack else { return };
    let parser = client.parser();
    match parser.check(payload) {
        // A client that is gone needs no acknowledgement.
        Ok(()) => drop(client.send(parser.ack(client.namespace(), payload, id), false)),
        Err(error) => failed(client, event.as_str(), &error),
    }
}

fn failed(client: &Client, what: &str, error: &(dyn StdError + 'static)) {
    client.core().counters.failed();
    log::failed(client.subject(), what, error);
}

fn panicked(client: &Client, what: &str) {
    client.core().counters.panicked();
    log::panicked(client.subject(), what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_queue_is_a_kibibyte() {
        assert!(FIRST_QUEUE * size_of::<Job>() <= 1_024, "{}", size_of::<Job>());
    }
}
