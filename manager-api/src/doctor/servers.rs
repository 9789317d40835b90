//! The servers that respond during a diagnosis, and what they report.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Checks, MAX_NAMED, Report};
use crate::cluster::{Gathered, ServerInfo};
use crate::diagnosis::{Code, Finding};
use crate::{ClientManager, Emitter, HostId, deadline};

/// A difference of clocks that is not reported.
const SKEW: Duration = Duration::from_secs(1);

/// The responses of the servers.
#[derive(Default)]
pub(super) struct Roster {
    servers: Vec<ServerInfo>,
    missing: Vec<HostId>,
    /// When they were asked, and when all had responded.
    period: Option<(SystemTime, SystemTime)>,
    /// The clients in the namespace; `None` if that is not known.
    in_namespace: Option<u64>,
    /// Keeps the subscription for the responses.
    emitter: Option<Emitter>,
}

impl Roster {
    /// Requests the status of the servers, and the number of clients in the namespace.
    pub(super) async fn request(manager: &Arc<dyn ClientManager>, checks: &Checks, limit: Duration) -> Self {
        let emitter = Emitter::new(manager.clone());
        let until = deadline::after(limit);
        let asked_at = SystemTime::now();
        let Ok(Gathered {
            found, missing_servers, ..
        }) = emitter.servers(limit / 3 * 2).await
        else {
            return Self::default();
        };
        let responded_at = SystemTime::now();
        let left = until.saturating_duration_since(Instant::now());
        let clients = emitter.of(&checks.namespace).timeout(left);
        let count = match found.is_empty() {
            true => None,
            false => clients.count_sockets().await.ok(),
        };
        // What those report that do not respond is unknown.
        let count = count.filter(|count| count.missing_servers.is_empty());
        Self {
            servers: found,
            missing: missing_servers,
            period: Some((asked_at, responded_at)),
            in_namespace: count.map(|count| count.found),
            emitter: Some(emitter),
        }
    }

    /// Returns the number of servers that responded, or at least announced themselves.
    pub(super) fn num_servers(&self) -> usize {
        self.servers.len() + self.missing.len()
    }

    /// Returns whether the requests have a subscription of their own.
    pub(super) fn has_subscribed(&self) -> bool {
        self.emitter.is_some()
    }

    /// Reports what the servers say, and which of them do not respond. `listeners` are the processes that listen, as far
    /// as the broker reports that.
    pub(super) fn judge(&self, checks: &Checks, listeners: Option<usize>, report: &mut Report) {
        self.presence(checks, listeners, report);
        for id in self.missing.iter().take(MAX_NAMED) {
            let evidence = "it announced itself and did not respond in time";
            report.add(Finding::new(Code::SilentServer, format!("server {id}"), evidence));
        }
        for server in self.servers.iter().take(MAX_NAMED) {
            self.judge_server(server, report);
        }
        let num_clients = self.num_clients();
        if self.in_namespace == Some(0) && num_clients > 0 {
            let evidence = format!("no client, and the servers have {num_clients} in other namespaces");
            let subject = format!("namespace {}", checks.namespace.as_str());
            report.add(Finding::new(Code::EmptyNamespace, subject, evidence));
        }
    }

    /// Reports how many servers there are, as far as that can be known.
    fn presence(&self, checks: &Checks, listeners: Option<usize>, report: &mut Report) {
        let channel = format!("channel {}", checks.channel);
        let num_known = self.num_servers();
        if !self.servers.is_empty() {
            let evidence = format!("{} responded, with {} clients", self.servers.len(), self.num_clients());
            report.add(Finding::new(Code::Servers, &channel, evidence));
        }
        match listeners {
            Some(0) if num_known == 0 => {
                report.add(Finding::new(
                    Code::NoServer,
                    channel,
                    "no process listens on this channel",
                ));
            }
            None if num_known == 0 => {
                report.add(Finding::new(
                    Code::NoServer,
                    channel,
                    "no server of this project responded",
                ));
            }
            Some(listening) if listening > num_known => {
                let evidence =
                    format!("processes that listen: {listening} or more; servers that are known: {num_known}");
                report.add(Finding::new(Code::MuteListeners, channel, evidence));
            }
            _ => {}
        }
    }

    fn judge_server(&self, server: &ServerInfo, report: &mut Report) {
        let status = &server.status;
        let subject = match status.host_name.as_str() {
            "" => format!("server {}", server.id),
            host => format!("server {} on {host}", server.id),
        };
        if status.gaps > 0 {
            let evidence = format!("times when it may have missed messages: {}", status.gaps);
            report.add(Finding::new(Code::ServerGaps, &subject, evidence));
        }
        let says_time = status.clock != SystemTime::UNIX_EPOCH;
        let skew = self
            .period
            .filter(|_| says_time)
            .and_then(|period| skew(status.clock, period));
        if let Some((direction, difference)) = skew {
            let evidence = format!("its clock is {:.1} s {direction}", difference.as_secs_f64());
            report.add(Finding::new(Code::ClockSkew, subject, evidence));
        }
    }

    /// Returns the number of clients of all servers, once for each namespace that they are in.
    fn num_clients(&self) -> u64 {
        let clients = self.servers.iter().map(|server| server.status.clients);
        clients.fold(0, u64::saturating_add)
    }
}

/// Returns by how much a clock that was read during `period` differs from ours, if that is certain and matters.
fn skew(clock: SystemTime, (from, to): (SystemTime, SystemTime)) -> Option<(&'static str, Duration)> {
    let ahead = clock.duration_since(to).unwrap_or_default();
    let behind = from.duration_since(clock).unwrap_or_default();
    match (ahead > SKEW, behind > SKEW) {
        (true, _) => Some(("ahead", ahead)),
        (_, true) => Some(("behind", behind)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_only_where_the_time_of_the_response_does_not_explain_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let period = (at(100), at(103));
        for (clock, expected) in [
            (at(99), None),
            (at(102), None),
            (at(104), None),
            (at(110), Some(("ahead", Duration::from_secs(7)))),
            (at(90), Some(("behind", Duration::from_secs(10)))),
        ] {
            assert_eq!(skew(clock, period), expected, "{clock:?}");
        }
    }
}
