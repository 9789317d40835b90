//! The commands: what each does and how it is answered.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;

use crate::broker::Shared;
use crate::codec::{self, Reply, Version};
use crate::outbox::Outbox;
use crate::topics::Kind;

/// What is left of an unknown command's name in the error that answers it.
const SHOWN_NAME_BYTES: usize = 64;

/// No command that is known has a longer name.
const LONGEST_NAME_BYTES: usize = 16;

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Close,
}

/// A client's state: its subscriptions, its protocol version, and the replies of the batch at hand.
///
/// Dropping it unsubscribes.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    channels: HashSet<Box<[u8]>>,
    patterns: HashSet<Box<[u8]>>,
    name: Vec<u8>,
    replies: BytesMut,
    slow: Option<Arc<Outbox>>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, outbox: Arc<Outbox>) -> Session {
        let (channels, patterns) = (HashSet::new(), HashSet::new());
        Session {
            shared,
            outbox,
            channels,
            patterns,
            name: Vec::new(),
            replies: BytesMut::new(),
            slow: None,
        }
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The subscriber that a publish of this batch found slow.
    pub(crate) fn take_slow(&mut self) -> Option<Arc<Outbox>> {
        self.slow.take()
    }

    /// Queues the replies collected since the last time as one frame.
    pub(crate) fn flush(&mut self) {
        if !self.replies.is_empty() {
            self.outbox.push(self.replies.split().freeze());
        }
    }

    /// Answers bytes that are not a command.
    pub(crate) fn refuse(&mut self, error: &impl fmt::Display) {
        self.reply(&Reply::Error(&format!("ERR Protocol error: {error}")));
    }

    /// Does what a command says and collects its reply.
    pub(crate) fn answer(&mut self, args: &[&[u8]]) -> Flow {
        let Some((name, args)) = args.split_first() else {
            return Flow::Continue; // an empty array: Redis ignores it too
        };
        let mut upper = [0_u8; LONGEST_NAME_BYTES];
        let Some(upper) = upper.get_mut(..name.len()) else {
            return self.unknown(name);
        };
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        match self.forbidden(upper) {
            Some(error) => self.reply(&Reply::Error(&error)),
            None => self.dispatch(upper, name, args),
        }
    }

    fn dispatch(&mut self, upper: &[u8], name: &[u8], args: &[&[u8]]) -> Flow {
        match (upper, args) {
            (b"PUBLISH", [channel, payload]) => self.publish(channel, payload),
            (b"SUBSCRIBE", [_, ..]) => self.subscribe(Kind::Channel, args),
            (b"PSUBSCRIBE", [_, ..]) => self.subscribe(Kind::Pattern, args),
            (b"UNSUBSCRIBE", _) => self.unsubscribe(Kind::Channel, args),
            (b"PUNSUBSCRIBE", _) => self.unsubscribe(Kind::Pattern, args),
            (b"PUBSUB", [subcommand, args @ ..]) => self.pubsub(subcommand, args),
            (b"PING", []) => self.ping(b""),
            (b"PING", [text]) => self.ping(text),
            (b"ECHO", [text]) => self.reply(&Reply::Bulk(text)),
            (b"HELLO", _) => self.hello(args),
            (b"AUTH", [_] | [_, _]) | (b"SELECT", [_]) => self.reply(&Reply::Simple("OK")),
            (b"CLIENT", [subcommand, args @ ..]) => self.client(subcommand, args),
            (b"COMMAND", args) => self.command(args),
            (b"INFO", _) => self.info(),
            (b"RESET", []) => self.reset(),
            (b"QUIT", _) => {
                self.reply(&Reply::Simple("OK"));
                Flow::Close
            }
            (
                b"PUBLISH" | b"SUBSCRIBE" | b"PSUBSCRIBE" | b"PUBSUB" | b"PING" | b"ECHO" | b"AUTH" | b"SELECT"
                | b"CLIENT" | b"RESET",
                _,
            ) => self.wrong_number_of_arguments(name),
            _ => self.unknown(name),
        }
    }

    /// In RESP2 a subscribed client cannot tell replies from messages, so few commands are allowed to it.
    fn forbidden(&self, name: &[u8]) -> Option<String> {
        let allowed: [&[u8]; 7] = [
            b"SUBSCRIBE",
            b"UNSUBSCRIBE",
            b"PSUBSCRIBE",
            b"PUNSUBSCRIBE",
            b"PING",
            b"QUIT",
            b"RESET",
        ];
        if self.outbox.version() == Version::Resp3 || self.num_subscriptions() == 0 || allowed.contains(&name) {
            return None;
        }
        let name = shown(name).to_lowercase();
        Some(format!(
            "ERR Can't execute '{name}': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        ))
    }

    fn publish(&mut self, channel: &[u8], payload: &[u8]) -> Flow {
        let published = self.shared.topics.publish(channel, payload);
        let counters = &self.shared.counters;
        counters.published.fetch_add(1, Ordering::Relaxed);
        counters
            .delivered
            .fetch_add(published.num_receivers as u64, Ordering::Relaxed);
        if published.slow.is_some() {
            self.slow = published.slow;
        }
        self.reply(&Reply::Integer(published.num_receivers))
    }

    fn subscribe(&mut self, kind: Kind, names: &[&[u8]]) -> Flow {
        self.flush(); // replies so far come before the confirmations
        for name in names {
            if let Some(error) = self.refused_subscription(kind, name) {
                self.reply(&Reply::Error(&error));
                self.flush();
                continue;
            }
            self.names(kind).insert((*name).into());
            let word: &[u8] = if kind == Kind::Channel {
                b"subscribe"
            } else {
                b"psubscribe"
            };
            let confirmation = self.confirmation(word, Reply::Bulk(name));
            self.shared.topics.subscribe(kind, name, &self.outbox, confirmation);
        }
        Flow::Continue
    }

    fn refused_subscription(&mut self, kind: Kind, name: &[u8]) -> Option<String> {
        let (max_subscriptions, max_channel_bytes) = (
            self.shared.limits.max_subscriptions,
            self.shared.limits.max_channel_bytes,
        );
        if name.len() > max_channel_bytes {
            return Some(format!("ERR a channel's name has at most {max_channel_bytes} bytes"));
        }
        let full = self.num_subscriptions() >= max_subscriptions && !self.names(kind).contains(name);
        full.then(|| format!("ERR a client has at most {max_subscriptions} subscriptions"))
    }

    fn unsubscribe(&mut self, kind: Kind, names: &[&[u8]]) -> Flow {
        self.flush();
        let word: &[u8] = if kind == Kind::Channel {
            b"unsubscribe"
        } else {
            b"punsubscribe"
        };
        let names: Vec<Box<[u8]>> = match names {
            [] => self.names(kind).iter().cloned().collect(),
            names => names.iter().map(|name| (*name).into()).collect(),
        };
        if names.is_empty() {
            let confirmation = self.confirmation(word, Reply::Null);
            self.outbox.push(confirmation);
        }
        for name in names {
            self.names(kind).remove(&name);
            let confirmation = self.confirmation(word, Reply::Bulk(&name));
            self.shared
                .topics
                .unsubscribe(kind, &name, &self.outbox, Some(confirmation));
        }
        Flow::Continue
    }

    fn confirmation(&self, word: &[u8], name: Reply<'_>) -> bytes::Bytes {
        let items = vec![Reply::Bulk(word), name, Reply::Integer(self.num_subscriptions())];
        codec::encode_push(items, self.outbox.version())
    }

    fn pubsub<'a>(&mut self, subcommand: &[u8], args: &[&'a [u8]]) -> Flow {
        let topics = &self.shared.topics;
        match (subcommand.to_ascii_uppercase().as_slice(), args) {
            (b"CHANNELS", [] | [_]) => {
                let names = topics.channels(args.first().copied());
                self.reply(&Reply::Array(names.iter().map(|name| Reply::Bulk(name)).collect()))
            }
            (b"NUMSUB", channels) => {
                let pair = |name: &&'a [u8]| [Reply::Bulk(name), Reply::Integer(topics.num_subscribers(name))];
                let pairs = channels.iter().flat_map(pair).collect();
                self.reply(&Reply::Array(pairs))
            }
            (b"NUMPAT", []) => {
                let num_patterns = topics.num_patterns();
                self.reply(&Reply::Integer(num_patterns))
            }
            _ => self.reply(&Reply::Error(
                "ERR unknown subcommand of PUBSUB, or wrong number of arguments",
            )),
        }
    }

    fn ping(&mut self, text: &[u8]) -> Flow {
        if self.outbox.version() == Version::Resp2 && self.num_subscriptions() > 0 {
            return self.reply(&Reply::Array(vec![Reply::Bulk(b"pong"), Reply::Bulk(text)]));
        }
        if text.is_empty() {
            self.reply(&Reply::Simple("PONG"))
        } else {
            self.reply(&Reply::Bulk(text))
        }
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`. Every password is accepted: there is nothing to protect.
    fn hello(&mut self, args: &[&[u8]]) -> Flow {
        let version = match args {
            [] => self.outbox.version(),
            [version, ..] => match *version {
                b"2" => Version::Resp2,
                b"3" => Version::Resp3,
                _ => return self.reply(&Reply::Error("NOPROTO unsupported protocol version")),
            },
        };
        self.outbox.set_version(version);
        let number = if version == Version::Resp3 { 3 } else { 2 };
        self.reply(&Reply::Map(vec![
            (Reply::Bulk(b"server"), Reply::Bulk(b"sio")),
            (
                Reply::Bulk(b"version"),
                Reply::Bulk(env!("CARGO_PKG_VERSION").as_bytes()),
            ),
            (Reply::Bulk(b"proto"), Reply::Integer(number)),
            (
                Reply::Bulk(b"id"),
                Reply::Integer(usize::try_from(self.outbox.id).unwrap_or(usize::MAX)),
            ),
            (Reply::Bulk(b"mode"), Reply::Bulk(b"standalone")),
            (Reply::Bulk(b"role"), Reply::Bulk(b"master")),
            (Reply::Bulk(b"modules"), Reply::Array(Vec::new())),
        ]))
    }

    fn client(&mut self, subcommand: &[u8], args: &[&[u8]]) -> Flow {
        match (subcommand.to_ascii_uppercase().as_slice(), args) {
            (b"SETINFO", [_, _]) => self.reply(&Reply::Simple("OK")),
            (b"SETNAME", [name]) if name.len() <= self.shared.limits.max_channel_bytes => {
                self.name = name.to_vec();
                self.reply(&Reply::Simple("OK"))
            }
            (b"GETNAME", []) => {
                let name = std::mem::take(&mut self.name);
                self.reply(&if name.is_empty() {
                    Reply::Null
                } else {
                    Reply::Bulk(&name)
                });
                self.name = name;
                Flow::Continue
            }
            (b"ID", []) => {
                let id = usize::try_from(self.outbox.id).unwrap_or(usize::MAX);
                self.reply(&Reply::Integer(id))
            }
            _ => self.reply(&Reply::Error(
                "ERR unknown subcommand of CLIENT, or wrong number of arguments",
            )),
        }
    }

    fn command(&mut self, args: &[&[u8]]) -> Flow {
        let empty = match args.first().map(|word| word.to_ascii_uppercase()).as_deref() {
            Some(b"COUNT") => Reply::Integer(0),
            Some(b"DOCS") => Reply::Map(Vec::new()),
            _ => Reply::Array(Vec::new()),
        };
        self.reply(&empty)
    }

    fn info(&mut self) -> Flow {
        let stats = crate::Stats {
            shared: Arc::clone(&self.shared),
        };
        let text = format!(
            "# Server\r\nserver_name:sio\r\nsio_version:{}\r\nredis_mode:standalone\r\n# Stats\r\n\
             total_connections_received:{}\r\nrejected_connections:{}\r\nsio_published:{}\r\nsio_delivered:{}\r\n\
             client_output_buffer_limit_disconnections:{}\r\nsio_protocol_errors:{}\r\npubsub_patterns:{}\r\n",
            env!("CARGO_PKG_VERSION"),
            stats.connections(),
            stats.refused_clients(),
            stats.published(),
            stats.delivered(),
            stats.slow_clients(),
            stats.protocol_errors(),
            self.shared.topics.num_patterns(),
        );
        self.reply(&Reply::Bulk(text.as_bytes()))
    }

    fn reset(&mut self) -> Flow {
        self.unsubscribe_all();
        self.name.clear();
        self.outbox.set_version(Version::Resp2);
        self.reply(&Reply::Simple("RESET"))
    }

    fn wrong_number_of_arguments(&mut self, name: &[u8]) -> Flow {
        let name = shown(name).to_lowercase();
        self.reply(&Reply::Error(&format!(
            "ERR wrong number of arguments for '{name}' command"
        )))
    }

    fn unknown(&mut self, name: &[u8]) -> Flow {
        let name = shown(name);
        self.reply(&Reply::Error(&format!(
            "ERR unknown command '{name}': this broker does publish/subscribe only"
        )))
    }

    fn unsubscribe_all(&mut self) {
        for name in std::mem::take(&mut self.channels) {
            self.shared.topics.unsubscribe(Kind::Channel, &name, &self.outbox, None);
        }
        for name in std::mem::take(&mut self.patterns) {
            self.shared.topics.unsubscribe(Kind::Pattern, &name, &self.outbox, None);
        }
    }

    fn names(&mut self, kind: Kind) -> &mut HashSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    fn num_subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    fn reply(&mut self, reply: &Reply<'_>) -> Flow {
        codec::encode(&mut self.replies, reply, self.outbox.version());
        Flow::Continue
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unsubscribe_all();
    }
}

/// The start of a name that a client sent, in characters that cannot break a line of the protocol or a terminal.
fn shown(name: &[u8]) -> String {
    name[..name.len().min(SHOWN_NAME_BYTES)].escape_ascii().to_string()
}
