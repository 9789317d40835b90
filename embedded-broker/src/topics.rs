//! The table of subscriptions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use manager_api::lock::Unpoisoned;

use crate::codec::{self, Reply, Version};
use crate::glob;
use crate::outbox::{Outbox, Pace};

/// Whether a subscription is for one channel or for all whose name a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
}

/// All subscriptions of a broker.
///
/// Messages and confirmations are queued under the lock, so every client gets them in one order, and a confirmation always
/// before the first message it stands for. Queueing never waits.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: Mutex<ByName>,
}

#[derive(Debug, Default)]
struct ByName {
    channels: HashMap<Box<[u8]>, Vec<Arc<Outbox>>>,
    patterns: HashMap<Box<[u8]>, Vec<Arc<Outbox>>>,
}

/// What became of a published message.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) num_receivers: usize,
    /// A receiver its publisher should wait for.
    pub(crate) slow: Option<Arc<Outbox>>,
    /// Receivers that this message pushed over their limit.
    pub(crate) num_cut: usize,
}

impl Topics {
    /// Subscribes, and queues the confirmation.
    pub(crate) fn subscribe(&self, kind: Kind, name: &[u8], outbox: &Arc<Outbox>, confirmation: Bytes) {
        let mut by_name = self.lock();
        let subscribers = by_name.of(kind).entry(name.into()).or_default();
        if subscribers.iter().all(|other| other.id != outbox.id) {
            subscribers.push(Arc::clone(outbox));
        }
        outbox.push(confirmation);
    }

    /// Unsubscribes, and queues the confirmation if there is one.
    pub(crate) fn unsubscribe(&self, kind: Kind, name: &[u8], outbox: &Outbox, confirmation: Option<Bytes>) {
        let mut by_name = self.lock();
        if let Some(subscribers) = by_name.of(kind).get_mut(name) {
            subscribers.retain(|other| other.id != outbox.id);
            if subscribers.is_empty() {
                by_name.of(kind).remove(name);
            }
        }
        if let Some(confirmation) = confirmation {
            outbox.push(confirmation);
        }
    }

    /// Queues a message for every client that is subscribed to its channel, once for each subscription that fits.
    pub(crate) fn publish(&self, channel: &[u8], payload: &[u8]) -> Published {
        let by_name = self.lock();
        let mut published = Published::default();
        if let Some(subscribers) = by_name.channels.get(channel) {
            let items = || vec![Reply::Bulk(b"message"), Reply::Bulk(channel), Reply::Bulk(payload)];
            published.deliver(subscribers, items);
        }
        for (pattern, subscribers) in &by_name.patterns {
            if glob::matches(pattern, channel) {
                let head = [Reply::Bulk(b"pmessage"), Reply::Bulk(pattern)];
                let tail = [Reply::Bulk(channel), Reply::Bulk(payload)];
                published.deliver(subscribers, || head.iter().chain(&tail).cloned().collect());
            }
        }
        published
    }

    /// The channels with subscribers, of those whose name the pattern matches.
    pub(crate) fn channels(&self, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let by_name = self.lock();
        let fits = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        let names = by_name.channels.keys();
        names.filter(|name| fits(name)).cloned().collect()
    }

    pub(crate) fn num_patterns(&self) -> usize {
        self.lock().patterns.len()
    }

    pub(crate) fn num_subscribers(&self, channel: &[u8]) -> usize {
        self.lock().channels.get(channel).map_or(0, Vec::len)
    }

    fn lock(&self) -> MutexGuard<'_, ByName> {
        // What runs under the lock changes one map at a time: a panic leaves it usable.
        self.by_name.lock().unpoisoned()
    }
}

impl ByName {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Box<[u8]>, Vec<Arc<Outbox>>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

impl Published {
    /// Encodes at most once for each version, however many subscribers there are.
    fn deliver<'a>(&mut self, subscribers: &[Arc<Outbox>], items: impl Fn() -> Vec<Reply<'a>>) {
        let (mut resp2, mut resp3): (Option<Bytes>, Option<Bytes>) = (None, None);
        for outbox in subscribers {
            let version = outbox.version();
            let encoded = if version == Version::Resp3 {
                &mut resp3
            } else {
                &mut resp2
            };
            let frame = encoded
                .get_or_insert_with(|| codec::encode_push(items(), version))
                .clone();
            match outbox.push(frame) {
                Pace::Fine => self.num_receivers += 1,
                Pace::Slow => {
                    self.num_receivers += 1;
                    self.slow = Some(Arc::clone(outbox));
                }
                Pace::Cut => self.num_cut += 1,
            }
        }
    }
}
