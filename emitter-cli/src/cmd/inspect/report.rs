//! A report of the servers: its lines, and what is missing of it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use manager_api::HostId;
use manager_api::cluster::{Gathered, RemoteSocket, RoomInfo, ServerInfo};
use serde_json::{Value, json};

use super::table::{table, time};
use crate::cmd::emit::NO_NODE_SERVER;
use crate::output;
use crate::plan::BrokerPlan;

/// The silent servers that are listed.
const MAX_SILENT: usize = 100;

/// A clock that differs by less is as good as equal: the response has taken a part of the time.
const SKEW_SHOWN: Duration = Duration::from_secs(1);

/// The combined responses of the servers.
pub(super) struct Report {
    content: Content,
    num_servers: usize,
    missing_servers: Vec<HostId>,
    is_truncated: bool,
}

enum Content {
    /// With the time when they were asked.
    Servers(Vec<ServerInfo>, SystemTime),
    Rooms(Vec<RoomInfo>),
    Clients(Vec<RemoteSocket>),
    Count(u64),
}

impl Report {
    fn new<T>(gathered: Gathered<T>, content: impl FnOnce(T) -> Content) -> Self {
        Self {
            content: content(gathered.found),
            num_servers: gathered.num_servers,
            missing_servers: gathered.missing_servers,
            is_truncated: gathered.is_truncated,
        }
    }

    /// Creates the report of `sio servers`; `asked_at` is when they were asked, by the clock of this machine.
    pub(super) fn servers(servers: Gathered<Vec<ServerInfo>>, asked_at: SystemTime) -> Self {
        Self::new(servers, |servers| Content::Servers(servers, asked_at))
    }

    /// Creates the report of `sio rooms`.
    pub(super) fn rooms(rooms: Gathered<Vec<RoomInfo>>) -> Self {
        Self::new(rooms, Content::Rooms)
    }

    /// Creates the report of `sio who`.
    pub(super) fn clients(clients: Gathered<Vec<RemoteSocket>>) -> Self {
        Self::new(clients, Content::Clients)
    }

    /// Creates the report of `sio count`.
    pub(super) fn count(count: Gathered<u64>) -> Self {
        Self::new(count, Content::Count)
    }

    /// Adds the servers that were missing in earlier reports and have not responded since: they are not expected any
    /// more. Only a report of the servers tells which have.
    pub(super) fn remember(&mut self, silent: &mut BTreeSet<HostId>) {
        let Content::Servers(servers, _) = &self.content else {
            return;
        };
        silent.extend(self.missing_servers.drain(..));
        for server in servers {
            silent.remove(&server.id);
        }
        self.missing_servers = silent.iter().take(MAX_SILENT).cloned().collect();
    }

    /// Returns why the report is empty or incomplete, if it is.
    pub(super) fn fault(&self, broker: &BrokerPlan) -> Option<String> {
        let timeout = broker.timeout();
        if self.num_servers == 0 && self.missing_servers.is_empty() {
            let why = match broker.has_announcements() {
                true => {
                    "no server on this channel responded; if there are servers of python-socketio, they cannot respond"
                }
                false => NO_NODE_SERVER,
            };
            return Some(why.to_owned());
        }
        if !self.missing_servers.is_empty() {
            let ids: Vec<_> = self
                .missing_servers
                .iter()
                .map(|id| output::printable(id.as_str()))
                .collect();
            return Some(format!(
                "the report is incomplete: no response within {timeout:?} from server {}",
                ids.join(", ")
            ));
        }
        self.is_truncated
            .then(|| "the report is incomplete: there is more than the servers list at once".to_owned())
    }

    /// Returns the report for people: a table, or a number.
    pub(super) fn text(&self) -> String {
        match &self.content {
            Content::Servers(servers, asked_at) => self.servers_text(servers, *asked_at),
            Content::Rooms(rooms) => {
                let row = |room: &RoomInfo| [room.room.as_str().to_owned(), room.clients.to_string()];
                table(["ROOM", "CLIENTS"], &rooms.iter().map(row).collect::<Vec<_>>())
            }
            Content::Clients(clients) => {
                let row = |client: &RemoteSocket| {
                    [
                        client.id.to_string(),
                        client.server.to_string(),
                        client.connected_for.map(time).unwrap_or_default(),
                        client.transport.as_deref().unwrap_or_default().to_owned(),
                        client.data_json().unwrap_or_default().to_owned(),
                    ]
                };
                let rows: Vec<_> = clients.iter().map(row).collect();
                table(["CLIENT", "SERVER", "CONNECTED", "TRANSPORT", "DATA"], &rows)
            }
            Content::Count(count) => format!("{count}\n"),
        }
    }

    /// Returns a table of the servers, with those that did not respond at its end.
    fn servers_text(&self, servers: &[ServerInfo], asked_at: SystemTime) -> String {
        let mut rows: Vec<_> = servers
            .iter()
            .map(|server| {
                let status = &server.status;
                [
                    server.id.to_string(),
                    status.host_name.clone(),
                    status.software.clone(),
                    time(status.uptime),
                    status.clients.to_string(),
                    status.listening_for.map_or_else(|| "no".to_owned(), time),
                    status.gaps.to_string(),
                    skew(status.clock, asked_at),
                ]
            })
            .collect();
        rows.extend(self.missing_servers.iter().map(|id| {
            let mut row = <[String; 8]>::default();
            row[0] = id.to_string();
            row[1] = "no response".to_owned();
            row
        }));
        table(
            [
                "SERVER",
                "HOST",
                "SOFTWARE",
                "UPTIME",
                "CLIENTS",
                "LISTENING",
                "GAPS",
                "CLOCK",
            ],
            &rows,
        )
    }

    /// Returns one line of JSON for each item.
    pub(super) fn json(&self) -> String {
        let lines: Vec<Value> = match &self.content {
            Content::Servers(servers, asked_at) => {
                let missing = self
                    .missing_servers
                    .iter()
                    .map(|id| json!({ "server": id.as_str(), "responds": false }));
                servers
                    .iter()
                    .map(|server| server_json(server, *asked_at))
                    .chain(missing)
                    .collect()
            }
            Content::Rooms(rooms) => {
                let room = |room: &RoomInfo| json!({ "room": room.room.as_str(), "clients": room.clients });
                rooms.iter().map(room).collect()
            }
            Content::Clients(clients) => clients.iter().map(client_json).collect(),
            Content::Count(count) => {
                let missing: Vec<_> = self.missing_servers.iter().map(HostId::as_str).collect();
                vec![json!({ "clients": count, "servers": self.num_servers, "missing_servers": missing })]
            }
        };
        let lines = lines.iter().map(|line| output::json_line(line.to_string()) + "\n");
        lines.collect()
    }
}

/// How far a clock is ahead (`+`) or behind (`-`), as far as the time of the response lets it be known.
fn skew(clock: SystemTime, asked_at: SystemTime) -> String {
    match difference(clock, asked_at) {
        (_, difference) if difference < SKEW_SHOWN => "ok".to_owned(),
        (sign, difference) => format!("{sign}{}", time(difference)),
    }
}

/// Returns the sign and the amount by which a clock differs from that of this machine.
fn difference(clock: SystemTime, asked_at: SystemTime) -> (char, Duration) {
    match clock.duration_since(asked_at) {
        // The responses took at most the time until now.
        Ok(ahead) => ('+', ahead.saturating_sub(asked_at.elapsed().unwrap_or_default())),
        Err(behind) => ('-', behind.duration()),
    }
}

/// Returns a server as `sio servers --json` prints it.
fn server_json(server: &ServerInfo, asked_at: SystemTime) -> Value {
    let status = &server.status;
    let (sign, difference) = difference(status.clock, asked_at);
    let skew = milliseconds(difference) * if sign == '-' { -1 } else { 1 };
    json!({
        "server": server.id.as_str(),
        "responds": true,
        "host": status.host_name,
        "software": status.software,
        "uptime_ms": milliseconds(status.uptime),
        "clients": status.clients,
        "listening_ms": status.listening_for.map(milliseconds),
        "gaps": status.gaps,
        "clock_skew_ms": skew,
    })
}

/// Returns a client as `sio who --json` prints it.
fn client_json(client: &RemoteSocket) -> Value {
    let rooms: Vec<_> = client.rooms.iter().map(manager_api::Room::as_str).collect();
    let data = client
        .data_json()
        .and_then(|data| serde_json::from_str::<Value>(data).ok());
    json!({
        "client": client.id.as_str(),
        "server": client.server.as_str(),
        "namespace": client.namespace.as_str(),
        "rooms": rooms,
        "connected_ms": client.connected_for.map(milliseconds),
        "transport": client.transport.as_deref(),
        "data": data,
    })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
