//! `sio connect`: a client of a server, whose events are lines of JSON.

use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use manager_api::deadline;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::client::{Arrived, Client, Content, Opened};
use crate::failure::Failure;
use crate::output;
use crate::plan::{ConnectPlan, Wanted};
use crate::stop::{self, Signal};

/// How long connecting may take without `--timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The id of the only event that is to be acknowledged.
const ID: u64 = 0;

pub(super) async fn run(plan: ConnectPlan) -> Result<(), Failure> {
    let begun = Instant::now();
    let ends_at = deadline::from(begun, plan.limit.unwrap_or(Duration::MAX));
    let mut stop = std::pin::pin!(stop::requested());
    let connecting = timeout_at(
        deadline::from(begun, plan.limit.unwrap_or(CONNECT_TIMEOUT)),
        Client::connect(&plan.target, &plan.namespace, plan.auth.as_deref()),
    );
    let opened = tokio::select! {
        opened = connecting => opened,
        signal = &mut stop => return Err(Failure::signal(signal, "it was not connected yet")),
    };
    let Ok(opened) = opened else {
        let text = format!(
            "cannot connect to {}: no answer within {:?}",
            plan.target,
            begun.elapsed()
        );
        return Err(Failure::broker(text));
    };
    match opened? {
        Opened::Refused(said) => {
            let mut line = Line::new("connect_error");
            let text = format!("the server refused namespace {:?}: {said}", plan.namespace.as_str());
            line.error = Some(said);
            print(line).await?;
            Err(Failure::broker(text))
        }
        Opened::Accepted(client) => {
            let mut session = Session {
                plan: &plan,
                client: *client,
                wanted: plan.wanted.clone(),
                has_end: false,
            };
            let done = session.run(ends_at, stop).await;
            session.client.close().await;
            done
        }
    }
}

/// A client that is connected, and what it still waits for.
struct Session<'a> {
    plan: &'a ConnectPlan,
    client: Client,
    wanted: Wanted,
    /// It ends once nothing is wanted any more.
    has_end: bool,
}

impl Session<'_> {
    async fn run(&mut self, ends_at: Instant, mut stop: Pin<&mut impl Future<Output = Signal>>) -> Result<(), Failure> {
        let plan = self.plan;
        let mut line = Line::new("connect");
        line.sid = Some(self.client.sid.clone());
        line.namespace = Some(plan.namespace.as_str());
        print(line).await?;
        let shows_events = !plan.events.is_empty();
        self.has_end = !self.wanted.is_nothing() || (plan.emit.is_some() && !shows_events);
        if let Some((event, payload)) = &plan.emit {
            let id = plan.wanted.ack.then_some(ID);
            self.client.emit(event.as_str(), payload, id).await?;
        }
        while !(self.has_end && self.wanted.is_nothing()) {
            let arrived = tokio::select! {
                arrived = self.client.next() => arrived,
                signal = &mut stop => return self.interrupted(signal),
                () = sleep_until(ends_at) => return self.overdue(),
            };
            let printed = self.take(arrived?);
            tokio::select! {
                printed = printed => printed?,
                // The reader may have paused for ever.
                signal = &mut stop => return self.interrupted(signal),
            }
        }
        Ok(())
    }

    /// Shows what the server sent, and notes that it came.
    async fn take(&mut self, arrived: Arrived) -> Result<(), Failure> {
        let mut line = Line::new("event");
        match arrived {
            Arrived::Event(mut content, id) => {
                let name = content
                    .values
                    .pop_front()
                    .and_then(|name| serde_json::from_str::<String>(name.get()).ok());
                let name = name.unwrap_or_default();
                if !self.plan.events.is_empty() && !self.plan.events.contains(&name) {
                    return Ok(());
                }
                self.wanted.count = self.wanted.count.saturating_sub(1);
                self.wanted.event.take_if(|wanted| *wanted == name);
                line.event = Some(name);
                line.wants_ack = id.is_some();
                line.content(content);
            }
            Arrived::Ack(content, ID) => {
                self.wanted.ack = false;
                line.kind = "ack";
                line.content(content);
            }
            Arrived::Ack(..) => return Ok(()),
            Arrived::Disconnected => {
                print(Line::new("disconnect")).await?;
                let missing = self.missing();
                return Err(Failure::broker(format!("the server disconnected the client{missing}")));
            }
        }
        print(line).await
    }

    /// Returns what a signal means: the end, if nothing else ends it.
    fn interrupted(&self, signal: Signal) -> Result<(), Failure> {
        match self.has_end {
            true => Err(Failure::signal(signal, format!("connected{}", self.missing()))),
            false => Ok(()),
        }
    }

    /// Returns what the end of the time means.
    fn overdue(&self) -> Result<(), Failure> {
        match self.has_end {
            true => {
                let limit = self.plan.limit.unwrap_or_default();
                Err(Failure::broker(format!(
                    "not all came within {limit:?}{}",
                    self.missing()
                )))
            }
            false => Ok(()),
        }
    }

    /// Returns what has not come, as the end of a sentence.
    fn missing(&self) -> String {
        let mut missing = Vec::new();
        if self.wanted.ack {
            missing.push("no acknowledgement".to_owned());
        }
        if let Some(event) = &self.wanted.event {
            missing.push(format!("no event {event:?}"));
        }
        let wanted = self.plan.wanted.count;
        if self.wanted.count > 0 {
            missing.push(format!("{} of {wanted} events", wanted - self.wanted.count));
        }
        match missing.is_empty() {
            true => String::new(),
            false => format!("; {} came", missing.join(", ")),
        }
    }
}

async fn print(line: Line<'_>) -> Result<(), Failure> {
    let line = serde_json::to_string(&line).expect("strings and JSON are JSON");
    output::printed(output::json_line(line) + "\n").await
}

/// What happened, as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
    /// The server waits for an acknowledgement, which is not sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    wants_ack: bool,
    /// What the server says about a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
}

impl Line<'_> {
    fn new(kind: &'static str) -> Self {
        Self {
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
            kind,
            namespace: None,
            sid: None,
            event: None,
            args: None,
            attachments: Vec::new(),
            wants_ack: false,
            error: None,
        }
    }

    fn content(&mut self, content: Content) {
        self.args = Some(content.values.into());
        self.attachments = content
            .attachments
            .iter()
            .map(|bytes| BASE64_STANDARD.encode(bytes))
            .collect();
    }
}
