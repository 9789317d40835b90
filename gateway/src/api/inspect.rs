//! `GET /api/rooms` and `GET /api/who`: what is there, on every server.
//!
//! Both ask every server over the channel, as `sio rooms` and `sio who` do, and name those that did not
//! answer in time.

use std::borrow::Cow;
use std::time::Duration;

use manager_api::cluster::{Gathered, RemoteSocket};
use manager_api::{HostId, NamespaceName, Room};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::config::ApiConfig;
use super::emit::{forbidden_namespace, wait};
use super::fields::{invalid, too_many};
use super::key::KeyInUse;
use super::problem::{Code, Problem};
use super::target::Target;

/// The parameters of `/api/rooms`, and of `/api/who`.
pub(super) const ROOMS_PARAMETERS: [&str; 3] = ["namespace", "prefix", "timeout"];
pub(super) const WHO_PARAMETERS: [&str; 3] = ["namespace", "room", "timeout"];

/// The answer of `/api/rooms`.
#[derive(Debug, Serialize)]
pub(super) struct Rooms {
    pub(super) rooms: Vec<RoomBody>,
    #[serde(flatten)]
    pub(super) servers: Servers,
}

#[derive(Debug, Serialize)]
pub(super) struct RoomBody {
    pub(super) room: Value,
    pub(super) clients: u64,
}

/// The answer of `/api/who`.
#[derive(Debug, Serialize)]
pub(super) struct Who {
    pub(super) clients: Vec<ClientBody>,
    #[serde(flatten)]
    pub(super) servers: Servers,
}

#[derive(Debug, Serialize)]
pub(super) struct ClientBody {
    pub(super) id: String,
    pub(super) rooms: Vec<Value>,
    pub(super) server: String,
    /// How long it has been connected.
    pub(super) connected_seconds: Option<f64>,
    pub(super) transport: Option<String>,
    /// What its application keeps for others to see.
    pub(super) data: Option<Box<RawValue>>,
}

/// Who has answered. Servers of python-socketio cannot.
#[derive(Debug, Serialize)]
pub(super) struct Servers {
    pub(super) servers: usize,
    pub(super) missing_servers: Vec<String>,
    pub(super) truncated: bool,
}

impl Servers {
    /// Takes over who has answered.
    fn of<T>(gathered: &Gathered<T>) -> Self {
        Self {
            servers: gathered.num_servers,
            missing_servers: gathered.missing_servers.iter().map(HostId::to_string).collect(),
            truncated: gathered.is_truncated,
        }
    }
}

impl From<RemoteSocket> for ClientBody {
    fn from(client: RemoteSocket) -> Self {
        let data = client.data_json().map(str::to_owned);
        Self {
            id: client.id.to_string(),
            rooms: client.rooms.iter().skip(1).map(name).collect(),
            server: client.server.to_string(),
            connected_seconds: client.connected_for.map(|time| time.as_secs_f64()),
            transport: client.transport.as_deref().map(str::to_owned),
            data: data.and_then(|json| RawValue::from_string(json).ok()),
        }
    }
}

/// Writes a room as it is: text, or a number.
fn name(room: &Room) -> Value {
    let number = room.is_number().then(|| room.as_str().parse::<i64>().ok()).flatten();
    number.map_or_else(|| room.as_str().into(), Value::from)
}

/// The parameters of a query.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query, all of whose parameters are known.
    pub(super) fn read(query: &'a str, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> =
            serde_urlencoded::from_str(query).map_err(|_| invalid("query", "it cannot be read"))?;
        match pairs.iter().find(|(name, _)| !known.contains(&&**name)) {
            None => Ok(Self(pairs)),
            Some((name, _)) => {
                let name: String = name.chars().take(100).collect();
                let detail = format!("unknown parameter; known are {}", known.join(", "));
                Err(Problem::field(Code::UnknownField, name, detail))
            }
        }
    }

    /// Returns the value of a parameter that may stand there once.
    fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(invalid(name, "it stands there twice")),
        }
    }

    /// Returns all values of a parameter.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| &**value)
    }

    /// Reads the namespace, which the key must be for; `/` if there is none.
    fn namespace(&self, key: &KeyInUse) -> Result<NamespaceName, Problem> {
        let name = self.one("namespace")?.unwrap_or("/");
        let namespace = NamespaceName::new(name).map_err(|error| invalid("namespace", &error.to_string()))?;
        match key.may_use(&namespace) {
            true => Ok(namespace),
            false => Err(forbidden_namespace()),
        }
    }

    /// Reads how long servers are waited for.
    fn timeout(&self, config: &ApiConfig) -> Result<Duration, Problem> {
        let number = |text: &str| {
            text.parse()
                .map_err(|_| invalid("timeout", "expected a number of seconds"))
        };
        wait(self.one("timeout")?.map(number).transpose()?, config)
    }
}

/// Lists the rooms of a namespace.
pub(super) async fn rooms(
    target: &Target,
    key: &KeyInUse,
    query: &Query<'_>,
    config: &ApiConfig,
) -> Result<Rooms, Problem> {
    let (namespace, timeout) = (query.namespace(key)?, query.timeout(config)?);
    let prefix = query.one("prefix")?.unwrap_or_default();
    let gathered = target.rooms(&namespace, prefix, timeout).await;
    let gathered = gathered.map_err(|error| Problem::of(&error))?;
    let servers = Servers::of(&gathered);
    let room = |room: &manager_api::cluster::RoomInfo| RoomBody {
        room: name(&room.room),
        clients: room.clients,
    };
    Ok(Rooms {
        rooms: gathered.found.iter().map(room).collect(),
        servers,
    })
}

/// Lists the clients in rooms of a namespace, or all of its clients.
pub(super) async fn who(
    target: &Target,
    key: &KeyInUse,
    query: &Query<'_>,
    config: &ApiConfig,
) -> Result<Who, Problem> {
    let (namespace, timeout) = (query.namespace(key)?, query.timeout(config)?);
    let rooms: Vec<&str> = query.all("room").collect();
    if rooms.len() > config.max_names {
        return Err(too_many("room", rooms.len(), config.max_names));
    }
    let clients = target.of(&namespace).to_all(rooms).timeout(timeout);
    let gathered = clients.fetch_sockets().await.map_err(|error| Problem::of(&error))?;
    let servers = Servers::of(&gathered);
    Ok(Who {
        clients: gathered.found.into_iter().map(ClientBody::from).collect(),
        servers,
    })
}
