//! The way back of an event that a bridge has forwarded: acknowledgements and numbers of recipients.

use std::sync::Arc;
use std::time::Duration;

use manager_api::ack::{AckStream, ClientAck};
use manager_api::cluster::{ResponsePart, Responses};
use manager_api::message::{Callback, CallbackAddress, Emit, Message};
use manager_api::wire::Servers;
use manager_api::{Error, Sid};
use tokio::time::{Instant, timeout};

use crate::asked::{Asked, Share};
use crate::shared::Shared;

/// The longest wait for the number of servers, for which the events behind it wait, too.
const COUNTING: Duration = Duration::from_secs(1);

/// What comes back from one fleet for one event.
pub(crate) struct Relay {
    asked: Arc<Asked>,
    /// The side where the event was brought.
    to: usize,
    acks: Option<AckStream>,
    report: Option<Responses>,
    receipt: Option<Responses>,
    /// Acknowledgements without a name are counted as recipients, because their servers do not count these.
    counts_acks: bool,
    share: Share,
    is_shared: bool,
    /// Clients that may acknowledge the event as far as their servers have told, and acknowledgements.
    num_recipients: u64,
    num_acks: u64,
}

impl Relay {
    /// Prepares an event to be brought to a side: replaces what its sender expects by what the bridge does.
    pub(crate) async fn prepare(shared: &Shared, to: usize, asked: &Arc<Asked>, emit: &mut Emit) -> Self {
        let side = &shared.sides[to];
        let mut relay = Self {
            asked: asked.clone(),
            to,
            acks: None,
            report: None,
            receipt: None,
            counts_acks: side.has_silent_servers && !shared.sides[asked.side].is_python && asked.report.is_some(),
            share: Share::default(),
            is_shared: false,
            num_recipients: 0,
            num_acks: 0,
        };
        (emit.callback, emit.report, emit.receipt) = (None, None, None);
        let needs_servers = asked.report.is_some() || asked.receipt.is_some();
        let servers = match needs_servers {
            true => relay.servers(shared, emit).await,
            false => None,
        };
        if let Some(servers) = servers {
            relay.open(shared, emit, servers).await;
        }
        let left = asked.until.saturating_duration_since(Instant::now());
        if asked.callback.is_some() {
            let (id, acks) = side.acks.expect(Vec::new(), true, left, None).await;
            relay.acks = Some(acks);
            emit.callback = Some(CallbackAddress {
                room: emit.target.single().cloned(),
                namespace: emit.namespace.clone(),
                id,
            });
            emit.ack_timeout = Some(left);
        }
        relay
    }

    async fn servers(&self, shared: &Shared, emit: &Emit) -> Option<Servers> {
        let side = &shared.sides[self.to];
        let servers = timeout(COUNTING, side.messenger.servers(&emit.namespace)).await;
        servers.ok().and_then(Result::ok)
    }

    async fn open(&mut self, shared: &Shared, emit: &mut Emit, servers: Servers) {
        let requester = &shared.sides[self.to].requester;
        // A request that cannot be opened leaves this fleet without a number.
        let until = self.asked.until;
        if self.asked.report.is_some()
            && let Ok(Ok((id, responses))) = timeout(COUNTING, requester.open(Some(servers.clone()), until)).await
        {
            (emit.report, self.report) = (Some(id), Some(responses));
        }
        if self.asked.receipt.is_some()
            && let Ok(Ok((id, responses))) = timeout(COUNTING, requester.open(Some(servers), until)).await
        {
            (emit.receipt, self.receipt) = (Some(id), Some(responses));
        }
    }

    /// Responds with nothing, because the event was not brought to this fleet.
    pub(crate) fn give_up(mut self) {
        self.respond();
    }

    /// Passes on what comes back until the sender stops waiting.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        while !self.is_over() {
            if !self.is_shared && !self.counts_acks && self.is_counted() {
                self.respond();
            }
            let (share_by, is_shared) = (self.asked.share_by, self.is_shared);
            tokio::select! {
                ack = next_ack(&mut self.acks) => match ack {
                    Some(Ok(ack)) => self.pass_on(&shared, ack),
                    Some(Err(_)) | None => self.acks = None,
                },
                part = next_part(&mut self.report) => match part {
                    Some((part, is_truncated)) => self.record(&shared, part, is_truncated),
                    None => self.report = None,
                },
                part = next_part(&mut self.receipt) => match part {
                    Some((ResponsePart::Count(count), _)) => {
                        self.share.num_handed = self.share.num_handed.saturating_add(count);
                    }
                    Some(_) => {}
                    None => self.receipt = None,
                },
                () = tokio::time::sleep_until(share_by), if !is_shared => self.respond(),
            }
        }
        self.respond();
    }

    /// Returns whether all servers have told their numbers.
    fn is_counted(&self) -> bool {
        let is_complete = |responses: &Option<Responses>| responses.as_ref().is_none_or(Responses::is_complete);
        is_complete(&self.report) && is_complete(&self.receipt)
    }

    fn is_over(&self) -> bool {
        let has_receipt = self.receipt.as_ref().is_some_and(|receipt| !receipt.is_complete());
        let waits_to_count = self.counts_acks && !self.is_shared;
        let is_complete = self.report.as_ref().is_some_and(Responses::is_complete);
        let is_answered = is_complete && !self.counts_acks && self.num_acks >= self.num_recipients;
        let has_ended = self.acks.is_none() && self.report.is_none();
        (has_ended || is_answered) && !has_receipt && !waits_to_count
    }

    fn respond(&mut self) {
        if !std::mem::replace(&mut self.is_shared, true) {
            self.asked.add(std::mem::take(&mut self.share));
        }
    }

    fn pass_on(&mut self, shared: &Shared, ack: ClientAck) {
        let is_unnamed = ack.client.is_none();
        self.num_acks += 1;
        if self.counts_acks && is_unnamed {
            // Its sender was told how many to expect, and would wait in vain for as many as that.
            if self.is_shared {
                return;
            }
            self.share.num_unnamed += 1;
        }
        let Some(address) = self.asked.callback.clone() else {
            return;
        };
        let callback = Callback {
            address,
            payload: ack.payload,
            client: ack.client,
        };
        let side = &shared.sides[self.asked.side];
        side.post(self.asked.origin.clone(), Message::Callback(callback));
    }

    fn record(&mut self, shared: &Shared, part: ResponsePart, is_truncated: bool) {
        self.share.is_truncated |= is_truncated;
        match part {
            ResponsePart::Recipients(names) => {
                self.num_recipients += names.len() as u64;
                let max = shared.sides[self.to].requester.limits.max_sockets;
                let max = if self.is_shared { 0 } else { max };
                self.share.add_names(names, max);
            }
            ResponsePart::Count(count) => {
                self.num_recipients = self.num_recipients.saturating_add(count);
                self.share.num_unnamed = self.share.num_unnamed.saturating_add(count);
            }
            ResponsePart::Left(clients) => {
                self.num_recipients = self.num_recipients.saturating_sub(clients.len() as u64);
                self.report_left(shared, clients);
            }
            _ => {}
        }
    }

    fn report_left(&self, shared: &Shared, clients: Vec<Sid>) {
        if let Some(report) = self.asked.report {
            shared.sides[self.asked.side].report_left(&self.asked.origin, report, clients);
        }
    }
}

async fn next_ack(acks: &mut Option<AckStream>) -> Option<Result<ClientAck, Error>> {
    match acks {
        Some(acks) => acks.next().await,
        None => std::future::pending().await,
    }
}

async fn next_part(responses: &mut Option<Responses>) -> Option<(ResponsePart, bool)> {
    match responses {
        Some(responses) => {
            let received = responses.next_until_deadline().await?;
            Some((received.part, received.is_truncated))
        }
        None => std::future::pending().await,
    }
}
