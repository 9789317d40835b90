//! The mixed fleet, and one set of commands for all its emitters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use integration::DEADLINE;
use integration::brokers::unique_channel;
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::managers;
use integration::python::{PyEmitter, PyManager, PyServer};
use manager_api::{Broadcast, Emitter};
use serde::ser::{SerializeMap, SerializeSeq, SerializeTuple};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use socket_io::manager_api::Room;

use crate::served::{OTHER, Served};

/// The emitter of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    PythonWorker,
    PythonServer,
    OurEmitter,
    OurServer,
}

/// Both servers and both emitters on one channel.
pub(super) struct Fleet {
    pub(super) ours: Served,
    pub(super) theirs: PyServer,
    pub(super) emitter: Emitter,
    worker: Option<PyEmitter>,
    from: From,
}

/// A client in `/` and in [`OTHER`], and its ids there.
pub(super) struct Member {
    pub(super) client: RealClient,
    pub(super) sid: String,
    pub(super) other_sid: String,
}

impl Fleet {
    /// Starts the fleet; python-socketio's part of it has `theirs` for a manager, and commands come from `from`.
    pub(super) async fn start(theirs: PyManager, from: From) -> Self {
        let (url, channel) = (theirs.shared_url().await, unique_channel());
        // First, because it makes the topic if the broker is Kafka.
        let ours = Served::start_on_channel(url, &channel).await;
        let worker = async {
            match from {
                From::PythonWorker => Some(PyEmitter::start(theirs, url, &channel).await),
                _ => None,
            }
        };
        let (theirs, worker) = tokio::join!(PyServer::start(theirs, url, &channel), worker);
        let emitter = Emitter::new(managers::on_channel(url, &channel));
        Self {
            ours,
            theirs,
            emitter,
            worker,
            from,
        }
    }

    /// Connects a client to each server: ours first.
    pub(super) async fn members(&self, kinds: [Kind; 2], transports: [&'static str; 2]) -> [Member; 2] {
        let (ours, theirs) = (self.ours.url(), self.theirs.url());
        tokio::join!(
            Member::join(kinds[0], &ours, transports[0]),
            Member::join(kinds[1], theirs, transports[1])
        )
        .into()
    }

    /// Emits as a command of `clients/README.md` says.
    pub(super) async fn emit(&mut self, name: &str, mut command: Value) {
        command["cmd"] = json!("emit");
        command["name"] = json!(name);
        if let Some(broadcast) = self.broadcast(&command) {
            let payload = arguments(&command);
            return broadcast.emit(name, &payload).await.unwrap();
        }
        self.tell_python(command).await;
    }

    /// Ends a list of events, for all clients in `/`: a client that has received it has received all before it.
    pub(super) async fn end(&mut self) {
        self.emit("end", json!({ "args": [] })).await;
    }

    pub(super) async fn enter_room(&mut self, sid: &str, room: &Value) {
        match self.broadcast(&json!({})) {
            Some(broadcast) => broadcast.enter_room(sid, room_of(room)).await.unwrap(),
            None => {
                self.tell_python(json!({ "cmd": "enter_room", "sid": sid, "room": room }))
                    .await;
            }
        }
    }

    pub(super) async fn leave_room(&mut self, sid: &str, room: &Value) {
        match self.broadcast(&json!({})) {
            Some(broadcast) => broadcast.leave_room(sid, room_of(room)).await.unwrap(),
            None => {
                self.tell_python(json!({ "cmd": "leave_room", "sid": sid, "room": room }))
                    .await;
            }
        }
    }

    pub(super) async fn close_room(&mut self, room: &Value) {
        match self.broadcast(&json!({})) {
            Some(broadcast) => broadcast.close_room(room_of(room)).await.unwrap(),
            None => self.tell_python(json!({ "cmd": "close_room", "room": room })).await,
        }
    }

    pub(super) async fn disconnect(&mut self, namespace: &str, sid: &str) {
        match self.broadcast(&json!({ "namespace": namespace })) {
            Some(broadcast) => broadcast.disconnect(sid).await.unwrap(),
            None => {
                self.tell_python(json!({ "cmd": "disconnect", "namespace": namespace, "sid": sid }))
                    .await;
            }
        }
    }

    async fn tell_python(&mut self, command: Value) {
        match &mut self.worker {
            Some(worker) => worker.call(command).await,
            None => self.theirs.call(command).await,
        };
    }

    /// Addresses an event as a command says; `None` if it is not ours to emit.
    fn broadcast(&self, command: &Value) -> Option<Broadcast> {
        let mut broadcast = match self.from {
            From::OurEmitter => self.emitter.broadcast(),
            From::OurServer => self.ours.io.broadcast(),
            From::PythonWorker | From::PythonServer => return None,
        };
        if let Some(namespace) = command["namespace"].as_str() {
            broadcast = broadcast.of(namespace);
        }
        for room in list(&command["room"]) {
            broadcast = broadcast.to(room_of(&room));
        }
        for sid in list(&command["skip_sid"]) {
            broadcast = broadcast.skip(sid.as_str().unwrap());
        }
        Some(broadcast)
    }
}

impl Member {
    pub(super) async fn join(kind: Kind, url: &str, transport: &'static str) -> Self {
        let mut options = ConnectOptions::to(url).only(transport);
        options.namespaces = vec![OTHER.to_owned()];
        let mut client = RealClient::spawn(kind).await;
        let sid = client.connect(&options).await.unwrap();
        let in_other = |event: &Value| event["event"] == "connect" && event["namespace"] == OTHER;
        let event = client.driven().until(DEADLINE, in_other).await;
        let other_sid = event["sid"].as_str().unwrap().to_owned();
        Self { client, sid, other_sid }
    }

    /// Enters a room by its server's own event.
    pub(super) async fn enter(&mut self, room: &str) {
        let answer = self.client.emit_with_ack("join", json!([room]), DEADLINE).await;
        assert_eq!(answer, Some(vec![json!(true)]));
    }

    /// Returns namespaces and names of what came before the end.
    pub(super) async fn names(&mut self) -> Vec<(String, String)> {
        let messages = self.client.messages_before("end").await;
        messages
            .into_iter()
            .map(|message| (message.namespace, message.name))
            .collect()
    }
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    }
}

fn room_of(room: &Value) -> Room {
    match room.as_i64() {
        Some(number) => number.into(),
        None => room.as_str().unwrap().into(),
    }
}

/// The arguments of a command: several or one, with `$bin` for bytes.
enum Arguments<'a> {
    Several(&'a [Value]),
    One(&'a Value),
}

fn arguments(command: &Value) -> Arguments<'_> {
    match command["args"].as_array() {
        Some(arguments) => Arguments::Several(arguments),
        None => Arguments::One(&command["data"]),
    }
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(value) => Native(value).serialize(serializer),
            Self::Several(values) => {
                let mut tuple = serializer.serialize_tuple(values.len())?;
                values
                    .iter()
                    .try_for_each(|value| tuple.serialize_element(&Native(value)))?;
                tuple.end()
            }
        }
    }
}

/// Returns the bytes that a script's value stands for, as [`binary`](integration::driven::binary) writes them.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let text = value["$bin"].as_str()?;
    Some(STANDARD.decode(text).unwrap())
}

/// A value whose `$bin` objects are bytes.
struct Native<'a>(&'a Value);

impl Serialize for Native<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                values
                    .iter()
                    .try_for_each(|value| seq.serialize_element(&Native(value)))?;
                seq.end()
            }
            Value::Object(object) => match bytes_of(self.0) {
                Some(bytes) => serializer.serialize_bytes(&bytes),
                None => {
                    let mut map = serializer.serialize_map(Some(object.len()))?;
                    object
                        .iter()
                        .try_for_each(|(key, value)| map.serialize_entry(key, &Native(value)))?;
                    map.end()
                }
            },
            plain => plain.serialize(serializer),
        }
    }
}
