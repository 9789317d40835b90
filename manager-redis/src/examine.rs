//! The examination of a server: its limit for subscribers, the number of listeners, other channels in use.

use manager_api::diagnosis::{Circumstances, Code, Examination, Finding};
use manager_api::log::Escaped;
use redis::{Cmd, RedisError, Value, cmd};

use crate::connect::Connector;
use crate::connection::{Connection, Purpose};
use crate::hello::{elements, is_of_cluster, text};

/// Names of channels of Socket.IO on Redis: python-socketio and Flask-SocketIO, kombu over Redis (`/0.socketio`); Node's
/// adapters (`socket.io#/#`, `socket.io-request#/#`).
const PATTERNS: [&str; 2] = ["*socketio*", "*socket.io*"];
/// The key of Node's adapter over streams.
const STREAM: &str = "socket.io";
/// The channels that are named where none has a known name.
const MAX_UNKNOWN: usize = 5;

/// A server under examination.
struct Examined<'a> {
    connection: Connection,
    channel: &'a str,
    examination: Examination,
}

/// Examines the server that a publisher would use. What the user may not ask for is not checked.
pub(crate) async fn examine(
    connector: &Connector,
    channel: &str,
    is_stream: bool,
    known: &Circumstances,
) -> Examination {
    // The caller has reported before why it cannot connect.
    let Ok(connection) = connector.connect(Purpose::Publishing).await else {
        return Examination::default();
    };
    let mut examined = Examined {
        connection,
        channel,
        examination: Examination::default(),
    };
    if is_stream {
        let why = "Redis does not know who reads a stream";
        examined.examination.not_checked("number of listeners", why);
    } else {
        examined.count_listeners(known.own_subscriptions).await;
        examined.compare_limit(known.largest_message).await;
    }
    if !known.has_servers {
        examined.find_channels().await;
    }
    examined.examination
}

impl Examined<'_> {
    /// Sends a command; `None` without a reply.
    async fn ask(&mut self, command: &Cmd) -> Option<Result<Value, RedisError>> {
        self.connection.request(command).await.ok()
    }

    fn not_checked(&mut self, what: &str, right: &str) {
        let why = format!("the user lacks the right {right}, which is needed for this only");
        self.examination.not_checked(what, why);
    }

    /// Counts the subscribers of the channel, without our own. On a cluster each node knows its own only.
    async fn count_listeners(&mut self, own: usize) {
        if let Some(Ok(hello)) = self.ask(cmd("HELLO").arg(2)).await
            && is_of_cluster(&hello)
        {
            return;
        }
        let question = cmd("PUBSUB").arg("NUMSUB").arg(self.channel).to_owned();
        match self.ask(&question).await {
            Some(Ok(reply)) => {
                if let [_, Value::Int(count)] = elements(&reply) {
                    let count = usize::try_from(*count).unwrap_or_default();
                    self.examination.listeners = Some(count.saturating_sub(own));
                }
            }
            Some(Err(_)) => self.not_checked("number of listeners", "+pubsub|numsub"),
            None => {}
        }
    }

    /// Compares the limit for subscribers with the largest message.
    async fn compare_limit(&mut self, largest: usize) {
        let question = cmd("CONFIG").arg("GET").arg("client-output-buffer-limit").to_owned();
        match self.ask(&question).await {
            Some(Ok(reply)) => {
                let limit = elements(&reply).get(1).and_then(text).and_then(BufferLimit::of);
                if let Some(limit) = limit.filter(|limit| limit.is_too_low_for(largest)) {
                    let subject = format!("Redis at {}", self.connection.address);
                    self.examination.findings.push(limit.finding(subject, largest));
                }
            }
            Some(Err(_)) => self.not_checked("client-output-buffer-limit", "+config|get"),
            None => {}
        }
    }

    /// Looks for other channels: those with known names, otherwise any.
    async fn find_channels(&mut self) {
        for pattern in PATTERNS {
            let Some(found) = self.channels(pattern).await else {
                return self.not_checked("other channels", "+pubsub|channels");
            };
            self.add_channels(found);
        }
        if let Some(Ok(kind)) = self.ask(cmd("TYPE").arg(STREAM)).await
            && text(&kind) == Some(b"stream")
        {
            self.examination.other_channels.push(format!("{STREAM} (a stream)"));
        }
        if self.examination.other_channels.is_empty() {
            let any = self.channels("*").await.unwrap_or_default();
            self.add_channels(any.into_iter().take(MAX_UNKNOWN).collect());
        }
    }

    /// Returns the channels with subscribers whose names match, sorted; `None` if that may not be asked.
    async fn channels(&mut self, pattern: &str) -> Option<Vec<String>> {
        let reply = match self.ask(cmd("PUBSUB").arg("CHANNELS").arg(pattern)).await {
            Some(reply) => reply.ok()?,
            // There are too many to read.
            None => return Some(Vec::new()),
        };
        let names = elements(&reply).iter().filter_map(text);
        let names = names.filter(|name| *name != self.channel.as_bytes() && !name.starts_with(b"__"));
        let mut names: Vec<_> = names
            .map(|name| Escaped(String::from_utf8_lossy(name)).to_string())
            .collect();
        names.sort();
        Some(names)
    }

    fn add_channels(&mut self, found: Vec<String>) {
        let known = &mut self.examination.other_channels;
        known.extend(found);
        known.sort();
        known.dedup();
    }
}

/// The limit of bytes that wait for a subscriber; zero is none.
#[derive(Debug, PartialEq)]
struct BufferLimit {
    hard: u64,
    soft: u64,
    seconds: u64,
}

impl BufferLimit {
    /// Reads `normal 0 0 0 … pubsub HARD SOFT SECONDS`.
    fn of(setting: &[u8]) -> Option<Self> {
        let words: Vec<_> = std::str::from_utf8(setting).ok()?.split_ascii_whitespace().collect();
        let at = words.iter().position(|word| *word == "pubsub")?;
        let number = |offset: usize| words.get(at + offset)?.parse().ok();
        Some(Self {
            hard: number(1)?,
            soft: number(2)?,
            seconds: number(3)?,
        })
    }

    /// Returns whether two such messages, or one that waits for long, disconnect a subscriber.
    fn is_too_low_for(&self, message: usize) -> bool {
        let message = message as u64;
        let is_over = |limit: u64, needed: u64| limit > 0 && needed > limit;
        is_over(self.hard, message.saturating_mul(2)) || is_over(self.soft, message)
    }

    fn finding(&self, subject: String, message: usize) -> Finding {
        let Self { hard, soft, seconds } = self;
        let evidence = format!(
            "client-output-buffer-limit pubsub is {hard} {soft} {seconds}, and a message of {message} bytes was seen: a subscriber for \
             which two of them wait is disconnected"
        );
        Finding::new(Code::OutputBufferLimit, subject, evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_subscribers_is_read_and_compared_with_two_messages() {
        let setting = b"normal 0 0 0 slave 268435456 67108864 60 pubsub 1000 600 60";
        let limit = BufferLimit::of(setting).unwrap();
        assert_eq!((limit.hard, limit.soft, limit.seconds), (1000, 600, 60));
        for (message, is_too_low) in [(0, false), (500, false), (501, true), (usize::MAX, true)] {
            assert_eq!(limit.is_too_low_for(message), is_too_low, "{message}");
        }
        let soft = BufferLimit::of(b"pubsub 0 400 1").unwrap();
        assert!(soft.is_too_low_for(401) && !soft.is_too_low_for(400));
        assert!(!BufferLimit::of(b"pubsub 0 0 0").unwrap().is_too_low_for(usize::MAX));
        for bad in [&b""[..], b"normal 0 0 0", b"pubsub 1 2", b"pubsub x 0 0", b"\xff"] {
            assert_eq!(BufferLimit::of(bad), None);
        }
    }
}
