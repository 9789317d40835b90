//! Encoding of the messages between our servers.

use std::io::Write;
use std::time::SystemTime;

use super::{Writer, milliseconds};
use crate::cluster::{
    Change, ClusterRequest, ClusterResponse, RequestKind, ResponsePart, RoomInfo, Selection, ServerStatus, SocketInfo,
};
use crate::{Payload, Room};

impl Writer {
    pub(super) fn presence(&mut self, method: &str) {
        self.method(method);
        self.begin_extensions();
        self.raw("}");
    }

    pub(super) fn request(&mut self, request: &ClusterRequest) {
        self.method("sio_ask");
        if let Some(id) = request.id {
            self.number("id", id);
        }
        let (mut except, mut max) = (&[][..], None);
        match &request.kind {
            RequestKind::Servers => self.member("ask", "servers"),
            RequestKind::Rooms {
                namespace,
                prefix,
                limit,
            } => {
                self.member("ask", "rooms");
                self.member("namespace", namespace.as_str());
                self.member("prefix", prefix);
                max = Some(*limit);
            }
            RequestKind::Sockets { clients, limit } => {
                self.member("ask", "sockets");
                self.selection(clients);
                (except, max) = (&clients.except, Some(*limit));
            }
            RequestKind::Count { clients } => {
                self.member("ask", "count");
                self.selection(clients);
                except = &clients.except;
            }
            RequestKind::Event { event, payload } => {
                self.member("ask", "event");
                self.member("event", event.as_str());
                self.payload("data", payload);
            }
        }
        self.begin_extensions();
        self.except(except);
        if let Some(limit) = max {
            self.number("limit", limit as u64);
        }
        self.number("timeout_ms", milliseconds(request.timeout));
        self.raw("}");
    }

    pub(super) fn response(&mut self, response: &ClusterResponse) {
        self.method("sio_answer");
        self.member("to", response.to.as_str());
        self.number("id", response.id);
        match &response.part {
            ResponsePart::Present(status) => {
                self.member("answer", "present");
                self.status(status);
            }
            ResponsePart::Rooms(rooms) => {
                self.member("answer", "rooms");
                self.key("rooms");
                self.list(rooms, Self::counted_room);
            }
            ResponsePart::Sockets(sockets) => {
                self.member("answer", "sockets");
                self.key("sockets");
                self.list(sockets, Self::socket);
            }
            ResponsePart::Count(count) => {
                self.member("answer", "count");
                self.number("count", *count);
            }
            ResponsePart::Event(payload) => {
                self.member("answer", "event");
                if let Some(payload) = payload {
                    self.payload("data", payload);
                }
            }
            ResponsePart::Recipients(clients) => {
                self.member("answer", "asked");
                self.key("clients");
                self.list(clients, |out, sid| out.string(sid.as_str()));
            }
            ResponsePart::Left(clients) => {
                self.member("answer", "left");
                self.key("clients");
                self.list(clients, |out, sid| out.string(sid.as_str()));
            }
        }
        self.begin_extensions();
        self.number("part", response.number.into());
        if response.is_last {
            self.raw(",\"last\":true");
        }
        if response.is_truncated {
            self.raw(",\"truncated\":true");
        }
        self.raw("}");
    }

    fn socket(&mut self, socket: &SocketInfo) {
        self.raw("{\"id\":");
        self.string(socket.id.as_str());
        self.key("rooms");
        self.list(&socket.rooms, Self::room);
        if let Some(data) = &socket.details.data {
            self.key("data");
            self.raw(data);
        }
        if let Some(time) = socket.details.connected_for {
            self.number("connected_ms", milliseconds(time));
        }
        if let Some(transport) = &socket.details.transport {
            self.member("transport", transport);
        }
        self.raw("}");
    }

    fn counted_room(&mut self, room: &RoomInfo) {
        self.raw("{\"room\":");
        self.room(&room.room);
        self.number("clients", room.clients);
        self.raw("}");
    }

    fn status(&mut self, status: &ServerStatus) {
        let clock = status.clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.raw(",\"server\":{\"software\":");
        self.string(&status.software);
        self.member("host", &status.host_name);
        self.number("uptime_ms", milliseconds(status.uptime));
        self.number("clients", status.clients);
        if let Some(time) = status.listening_for {
            self.number("listening_ms", milliseconds(time));
        }
        self.number("gaps", status.gaps);
        self.number("clock_ms", milliseconds(clock));
        self.raw("}");
    }

    pub(super) fn members(&mut self, clients: &Selection, change: &Change) {
        self.method("sio_members");
        let (name, rooms): (_, &[Room]) = match change {
            Change::Join(rooms) => ("join", rooms),
            Change::Leave(rooms) => ("leave", rooms),
            Change::Disconnect => ("disconnect", &[]),
            Change::Close => ("close", &[]),
        };
        self.member("change", name);
        self.key("rooms");
        self.list(rooms, Self::room);
        self.selection(clients);
        self.begin_extensions();
        self.except(&clients.except);
        self.raw("}");
    }

    fn selection(&mut self, clients: &Selection) {
        self.recipients(&clients.namespace, &clients.target, &clients.skip);
    }

    fn payload(&mut self, key: &str, payload: &Payload) {
        self.arguments(key, payload);
        if !payload.attachments().is_empty() {
            self.raw(",\"binary\":true");
        }
    }

    fn except(&mut self, rooms: &[Room]) {
        if !rooms.is_empty() {
            self.key("except");
            self.list(rooms, Self::room);
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        write!(self.0, "{number}").expect("writing to memory");
    }
}
