//! The end of a server that others count: it is counted no more before it responds no more.
//!
//! A server on Node takes the first responses for those that it waits for, as many as it has counted servers: one of a
//! server that it has not counted would stand for that of another one. No request tells whether this server was counted
//! for it.
//!
//! - For clients and events for servers Node counts, and then asks. This server responds so late that a server that has
//!   not counted it has all responses already.
//! - For acknowledgements Node asks, and then counts. This server responds if it is seen to be counted after it has
//!   received the request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Envelope, Message};
use manager_api::wire::Arrival;
use manager_api::{Error, NamespaceName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::heartbeats::Live;
use crate::listener::Listener;
use crate::messenger::Shared;
use crate::plan::Reads;
use crate::receiver::Receiver;
use crate::shipment::topics;

/// How long a server that closes responds to those that have counted it just before they could see that.
const RETIRING: Duration = Duration::from_millis(500);

/// How late it responds to those: longer than the other servers take, shorter than half the time above.
const LATE: Duration = Duration::from_millis(200);

/// The longest wait until subscriptions that end have handed on what they have read.
const HANDED_ON_WITHIN: Duration = Duration::from_secs(1);

/// The longest wait until the others count a server no more, and the interval at which that is looked at.
const UNCOUNTED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Ends the subscriptions by which other servers count this one, and responds to the requests of those that have
/// counted it just before. Where the broker has no subscription that does not count, it does nothing.
pub(crate) async fn retire(shared: Arc<Shared>) -> Result<(), Error> {
    let namespaces: Vec<_> = shared.attended.lock().unpoisoned().iter().cloned().collect();
    shared.pending.expect_repeats();
    let retiring = namespaces.iter().map(|namespace| shared.listen_uncounted(namespace));
    let retiring = try_join_all(retiring).await?;
    if retiring.iter().any(Option::is_none) {
        return Ok(());
    }
    let topic = namespaces.first().map(|namespace| shared.plan.servers(namespace));
    let count = match &topic {
        Some(topic) => topics(&*shared.manager).count_subscribers(topic).await?,
        None => 0,
    };
    shared.stop_listening().await;
    let uncounted = async {
        while let Some(topic) = &topic {
            let asked = Instant::now();
            if topics(&*shared.manager).count_subscribers(topic).await? < count {
                break;
            }
            shared.counted.send_replace(Counted::At(asked));
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, Error>(())
    };
    // What takes longer does not delay the end.
    if let Ok(Err(error)) = tokio::time::timeout(UNCOUNTED_WITHIN, uncounted).await {
        note_failure(&error);
    }
    let last = match *shared.counted.borrow() {
        Counted::At(moment) => Some(moment),
        _ => None,
    };
    shared.counted.send_replace(Counted::NoMore(last));
    tokio::time::sleep(RETIRING).await;
    Ok(())
}

/// Whether the others count a server that closes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Counted {
    /// It does not close yet, or has not looked.
    #[default]
    Unknown,
    /// They did at this moment.
    At(Instant),
    /// They did at this moment for the last time, if this server has looked.
    NoMore(Option<Instant>),
}

/// The requests to a server that closes, as long as they are not handed on.
pub(crate) struct LateRequests {
    shared: Arc<Shared>,
    counted: watch::Receiver<Counted>,
    /// When they are to be handed on.
    requests: VecDeque<(Instant, Arrival)>,
    /// Events that expect acknowledgements, and when they were received.
    emits: VecDeque<(Instant, Arrival)>,
}

impl LateRequests {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            counted: shared.counted.subscribe(),
            requests: VecDeque::new(),
            emits: VecDeque::new(),
        }
    }

    /// Takes arrivals of a server that closes, and returns those that are to be handed on at once.
    pub(crate) fn take_all(&mut self, arrivals: Vec<Arrival>) -> Vec<Arrival> {
        if !self.shared.is_retired() {
            return arrivals;
        }
        let now = Instant::now();
        let mut at_once = Vec::new();
        for arrival in arrivals {
            match &arrival {
                Arrival::Message(envelope) => match &envelope.message {
                    // One that cannot be responded to was received by the subscription that ends, too.
                    Message::Emit(emit) if emit.report.is_none() => {}
                    Message::Emit(_) => self.emits.push_back((now, arrival)),
                    Message::Request(_) => self.requests.push_back((now + LATE, arrival)),
                    _ => at_once.push(arrival),
                },
                _ => at_once.push(arrival),
            }
        }
        at_once
    }

    /// Returns the next one once it is time; never where there is none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Arrival {
        loop {
            if let Some(emit) = self.counted_emit() {
                return emit;
            }
            let due = self.requests.front().map(|(due, _)| *due);
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => if let Some((_, request)) = self.requests.pop_front() {
                    return request;
                },
                Ok(()) = self.counted.changed(), if !self.emits.is_empty() => {}
            }
        }
    }

    /// Returns an event that was received while this server was counted; drops those received later.
    fn counted_emit(&mut self) -> Option<Arrival> {
        let counted = *self.counted.borrow_and_update();
        match counted {
            Counted::Unknown => None,
            Counted::At(moment) => {
                self.emits.front().filter(|(received, _)| *received < moment)?;
                self.emits.pop_front().map(|(_, emit)| emit)
            }
            Counted::NoMore(last) => {
                let is_counted = |(received, _): &(Instant, Arrival)| last.is_some_and(|last| *received < last);
                if self.emits.front().is_some_and(is_counted) {
                    return self.emits.pop_front().map(|(_, emit)| emit);
                }
                for (_, arrival) in self.emits.drain(..) {
                    forget(&self.shared, &arrival);
                }
                None
            }
        }
    }
}

fn note_failure(error: &Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        let error = Escaped(error);
        let text = "cannot count the servers: requests for acknowledgements to this one, which closes, may time out";
        quietly(|| tracing::warn!(suppressed, ?error, "{text}"));
    }
}

/// Forgets that an event expects a response.
fn forget(shared: &Shared, arrival: &Arrival) {
    if let Arrival::Message(Envelope {
        message: Message::Emit(emit),
        ..
    }) = arrival
        && let Some(id) = emit.report
    {
        shared.pending.remove(id);
    }
}

impl Shared {
    /// Subscribes to the requests about a namespace in a way by which this server does not count; `None` where there is
    /// none.
    async fn listen_uncounted(self: &Arc<Self>, namespace: &NamespaceName) -> Result<Option<Listener>, Error> {
        let interests = self.plan.interests(Reads::Retiring, namespace, &self.uid);
        if interests.is_empty() {
            return Ok(None);
        }
        let subscription = topics(&*self.manager).subscribe_to(interests).await?;
        let listening = self.listening.lock().await;
        let Some(listening) = listening.as_ref() else {
            return Ok(None);
        };
        let receiver = Receiver {
            shared: self.clone(),
            namespace: namespace.clone(),
            reads: Reads::Retiring,
            arrivals: listening.arrivals.clone(),
            beats: watch::Sender::new(Live::default()),
            num_unnamed: 0,
        };
        Ok(Some(Listener {
            task: tokio::spawn(receiver.run(subscription)),
            reads: Reads::Retiring,
            live: None,
        }))
    }

    /// Ends all subscriptions, for ever, once what they have read is handed on: another subscription that receives the
    /// same request takes it for a repeated one.
    pub(crate) async fn stop_listening(&self) {
        self.retired.send_replace(true);
        let namespaces = match self.listening.lock().await.as_mut() {
            Some(listening) => std::mem::take(&mut listening.namespaces),
            None => return,
        };
        let mut listeners: Vec<_> = namespaces.into_values().flatten().collect();
        let ends = join_all(listeners.iter_mut().map(|listener| &mut listener.task));
        // Those that take longer are aborted.
        let _ = tokio::time::timeout(HANDED_ON_WITHIN, ends).await;
    }
}
