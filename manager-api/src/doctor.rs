//! The diagnosis of a channel: publishes to itself, asks the servers, watches what passes, examines the broker.
//!
//! It works with every manager. Nothing is changed: the messages that it publishes are requests for the presence of
//! servers, which python-socketio ignores.

mod servers;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::diagnosis::{Circumstances, Code, Examination, Finding, Severity};
use crate::message::{Envelope, Message};
use crate::{ClientManager, Error, ErrorKind, HostId, NamespaceName, Subscription, deadline, wire};
use servers::Roster;
use watch::Watch;

/// The servers, and other channels, that are named.
const MAX_NAMED: usize = 20;

/// What is diagnosed, and for how long.
#[derive(Clone, Debug)]
pub struct Checks {
    /// The broker as it is named in findings, without secrets. Default `the broker`.
    pub broker: String,
    /// The channel as it is named in findings. Default `socketio`.
    pub channel: String,
    /// The namespace in which clients are expected. Default `/`.
    pub namespace: NamespaceName,
    /// The longest that the whole diagnosis may take. Default 15 s.
    ///
    /// The manager's own [`deadline`](crate::ManagerOptions::deadline) should be a quarter of it, so that its errors say
    /// why a step failed.
    pub timeout: Duration,
    /// How long the channel is watched for messages of others, within `timeout`. Default 2 s.
    pub watch: Duration,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            broker: "the broker".to_owned(),
            channel: "socketio".to_owned(),
            namespace: NamespaceName::default(),
            timeout: Duration::from_secs(15),
            watch: Duration::from_secs(2),
        }
    }
}

/// The findings of a diagnosis, in the order in which they were made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Returns whether no problem was found. Warnings do not count.
    pub fn is_healthy(&self) -> bool {
        self.count(Severity::Problem) == 0
    }

    /// Returns the number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        let with = |finding: &&Finding| finding.severity() == severity;
        self.findings.iter().filter(with).count()
    }

    /// Returns whether there is a finding with this code.
    pub fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    /// Adds a finding unless there is one with the same code and evidence.
    fn add(&mut self, finding: Finding) {
        let is_same = |known: &Finding| (known.code, &known.evidence) == (finding.code, &finding.evidence);
        if !self.findings.iter().any(is_same) {
            self.findings.push(finding);
        }
    }
}

/// Diagnoses the channel of a manager, which stays open.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use manager_api::diagnosis::Code;
/// use manager_api::doctor::{Checks, diagnose};
/// use manager_api::memory::MemoryBus;
///
/// let manager = Arc::new(MemoryBus::new().manager("socketio"));
/// let checks = Checks { timeout: Duration::from_secs(3), watch: Duration::ZERO, ..Checks::default() };
/// let report = diagnose(manager, &checks).await;
/// assert!(report.has(Code::RoundTrip) && report.has(Code::NoServer) && !report.is_healthy());
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future ends the diagnosis and its subscriptions.
pub async fn diagnose(manager: Arc<dyn ClientManager>, checks: &Checks) -> Report {
    let mut report = Report::default();
    let until = deadline::after(checks.timeout);
    let diagnosis = Diagnosis {
        manager,
        checks,
        host_id: HostId::random(),
        until,
    };
    if timeout_at(until, diagnosis.run(&mut report)).await.is_err() {
        let evidence = format!("not all was examined within {:?}", checks.timeout);
        report.add(Finding::new(Code::TimedOut, &checks.broker, evidence));
    }
    report
}

/// A diagnosis in progress.
struct Diagnosis<'a> {
    manager: Arc<dyn ClientManager>,
    checks: &'a Checks,
    /// Marks the messages of the diagnosis.
    host_id: HostId,
    until: Instant,
}

impl Diagnosis<'_> {
    async fn run(&self, report: &mut Report) {
        let mut known = Circumstances::new(self.step());
        let mut roster = None;
        // It stays until the broker was examined, so that it is known how many of the subscriptions are our own.
        let mut subscription = None;
        // Before there is a subscription: some brokers report that a message has no receiver.
        let published = self.published(report).await;
        if matches!(published, Ok(()) | Err(Code::MissingRight)) {
            subscription = self.subscribed(report).await;
        }
        if let Some(subscription) = &mut subscription
            && published.is_ok()
        {
            self.accepted(report);
            roster = self.observe(subscription, &mut known, report).await;
        }
        known.has_servers = roster.as_ref().is_some_and(|roster| roster.num_servers() > 0);
        self.examine(known, roster, report).await;
    }

    /// Has the manager examine its broker, and draws the conclusions.
    async fn examine(&self, mut known: Circumstances, roster: Option<Roster>, report: &mut Report) {
        known.limit = self.step().min(self.until.saturating_duration_since(Instant::now()));
        let (ends_at, has_servers) = (deadline::after(known.limit), known.has_servers);
        let limit = known.limit;
        let examined = timeout_at(ends_at, self.manager.examine(known)).await;
        let examination = examined.unwrap_or_else(|_| {
            let mut unfinished = Examination::default();
            unfinished.not_checked(
                &self.checks.broker,
                format!("its examination was not complete within {limit:?}"),
            );
            unfinished
        });
        for finding in examination.findings {
            report.add(finding);
        }
        let is_observed = roster.is_some();
        if let Some(roster) = roster {
            roster.judge(self.checks, examination.listeners, report);
        }
        // Without a connection or a right it is not known whether there are servers on this one.
        let is_empty = !has_servers && (is_observed || report.has(Code::TopicMissing));
        if is_empty && !examination.other_channels.is_empty() {
            let names: Vec<_> = examination
                .other_channels
                .iter()
                .take(MAX_NAMED)
                .map(String::as_str)
                .collect();
            let evidence = format!("in use on the same broker: {}", names.join(", "));
            let subject = format!("channel {}", self.checks.channel);
            report.add(Finding::new(Code::OtherChannel, subject, evidence));
        }
    }

    /// Returns the longest that one step may take.
    fn step(&self) -> Duration {
        self.checks.timeout / 3
    }

    /// Publishes a request for the presence of servers; otherwise reports why that failed.
    async fn published(&self, report: &mut Report) -> Result<(), Code> {
        let ends_at = deadline::after(self.step());
        let outcome = timeout_at(ends_at, self.manager.publish(self.request())).await;
        let error = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => self.late(),
        };
        let finding = self.of_error(&error);
        let code = finding.code;
        report.add(finding);
        Err(code)
    }

    /// Subscribes; otherwise reports why that failed.
    async fn subscribed(&self, report: &mut Report) -> Option<Subscription> {
        let ends_at = deadline::after(self.step());
        let outcome = timeout_at(ends_at, self.manager.subscribe()).await;
        let outcome = outcome.unwrap_or_else(|_| Err(self.late()));
        outcome.map_err(|error| report.add(self.of_error(&error))).ok()
    }

    fn accepted(&self, report: &mut Report) {
        let evidence = format!("accepts messages and subscriptions of channel {}", self.checks.channel);
        report.add(Finding::new(Code::Reachable, &self.checks.broker, evidence));
    }

    /// Checks that a message comes back, asks the servers, and watches the channel meanwhile.
    async fn observe(
        &self,
        subscription: &mut Subscription,
        known: &mut Circumstances,
        report: &mut Report,
    ) -> Option<Roster> {
        let mut watch = Watch::new(self.host_id.clone());
        known.own_subscriptions = 1;
        let begun = Instant::now();
        if !self.comes_back(subscription, &mut watch, begun, report).await {
            return None;
        }
        let watch_until = deadline::from(begun, self.checks.watch);
        // The other steps take moments, if they get this far.
        let limit = self.checks.timeout / 2;
        let mut asking = std::pin::pin!(Roster::request(&self.manager, self.checks, limit));
        let mut roster = None;
        loop {
            tokio::select! {
                incoming = subscription.recv() => match incoming {
                    Some(incoming) => watch.note(&incoming),
                    None => return roster,
                },
                asked = &mut asking, if roster.is_none() => roster = Some(asked),
                () = sleep_until(watch_until), if roster.is_some() => break,
            }
        }
        // Beside that of the requests to servers.
        known.own_subscriptions += usize::from(roster.as_ref().is_some_and(Roster::has_subscribed));
        known.largest_message = watch.largest_message();
        watch.judge(self.checks, report);
        roster
    }

    /// Publishes a message and waits until it comes back.
    async fn comes_back(
        &self,
        subscription: &mut Subscription,
        watch: &mut Watch,
        begun: Instant,
        report: &mut Report,
    ) -> bool {
        if self.published(report).await.is_err() {
            return false;
        }
        let ends_at = deadline::from(begun, self.step());
        let received = async {
            while let Some(incoming) = subscription.recv().await {
                watch.note(&incoming);
                if watch.has_own() {
                    return true;
                }
            }
            false
        };
        let has_come = timeout_at(ends_at, received).await.unwrap_or(false);
        let channel = format!("channel {}", self.checks.channel);
        report.add(match has_come {
            true => {
                let evidence = format!(
                    "a message came back after {:.1} ms",
                    begun.elapsed().as_secs_f64() * 1e3
                );
                Finding::new(Code::RoundTrip, channel, evidence)
            }
            false => {
                let evidence = format!("a message was accepted and did not come back within {:?}", self.step());
                Finding::new(Code::NotDelivered, channel, evidence)
            }
        });
        has_come
    }

    /// Returns the bytes of a request for the presence of servers.
    fn request(&self) -> bytes::Bytes {
        wire::python::encode(&Envelope {
            host_id: Some(self.host_id.clone()),
            message: Message::Seek,
            mark: None,
        })
    }

    /// Returns the error of a step that was not complete in time, with the cause that the manager knows.
    fn late(&self) -> Error {
        let cause = self.manager.health().last_error.map(|(_, text)| text);
        let cause = cause.unwrap_or_else(|| "no answer".to_owned());
        Error::new(ErrorKind::Timeout, format!("not within {:?}: {cause}", self.step()))
    }

    fn of_error(&self, error: &Error) -> Finding {
        let code = error.cause().unwrap_or(match error.kind() {
            ErrorKind::Connect | ErrorKind::Timeout if !error.is_refusal() => Code::Unreachable,
            ErrorKind::Config => Code::WrongService,
            _ => Code::Refused,
        });
        Finding::new(code, &self.checks.broker, error.to_string())
    }
}

#[cfg(test)]
mod tests;
