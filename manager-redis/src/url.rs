//! The URL of a Redis server, of sentinels, or of a cluster.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::url::{self, Address, decoded};
use manager_api::backend::{TlsParameters, bad};

/// The accepted schemes.
pub(crate) const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    "redis+unix",
    "valkey+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "valkey+sentinel",
    "valkeys+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "valkey+cluster",
    "valkeys+cluster",
    "redis+stream",
    "rediss+stream",
    "valkey+stream",
    "valkeys+stream",
    "redis+unix+stream",
    "redis+sentinel+stream",
    "rediss+sentinel+stream",
    "valkey+unix+stream",
    "valkey+sentinel+stream",
    "valkeys+sentinel+stream",
    "redis+cluster+stream",
    "rediss+cluster+stream",
    "valkey+cluster+stream",
    "valkeys+cluster+stream",
];

/// The parameters beside those of TLS.
const KNOWN: [&str; 7] = [
    "username",
    "password",
    "db",
    "sentinel_username",
    "sentinel_password",
    "max_len",
    "max_age",
];

/// A URL, parsed: addresses and logins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Target {
    pub(crate) topology: Topology,
    pub(crate) has_tls: bool,
    pub(crate) login: Login,
    /// The number of the database, which has no effect on publish/subscribe.
    pub(crate) database: u32,
    /// The login at the sentinels, as far as the URL has one.
    pub(crate) sentinel_login: Login,
    pub(crate) tls: TlsParameters,
    /// The stream that carries the messages, if the scheme names one.
    pub(crate) stream: Option<StreamParameters>,
}

/// What a URL says of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StreamParameters {
    /// The number of messages to which it is trimmed.
    pub(crate) max_len: Option<u64>,
    /// The age beyond which it is trimmed.
    pub(crate) max_age: Option<Duration>,
}

/// The servers that a URL names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Topology {
    Unix(PathBuf),
    /// One server, or several nodes of a cluster, of which any is suitable.
    Nodes(Vec<Address>),
    Sentinel {
        sentinels: Vec<Address>,
        service: String,
    },
}

impl Default for Topology {
    fn default() -> Self {
        Self::Nodes(Vec::new())
    }
}

/// Credentials; without a password there is no login.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        let mut debug = f.debug_struct("Login");
        debug.field("username", &self.username).field("password", &password);
        debug.finish()
    }
}

impl Target {
    /// Parses `url`; errors repeat its scheme or the name of a known parameter, nothing else of it.
    pub(crate) fn parse(url: &str, channel: &str) -> Result<Self, Error> {
        let parts = url::parts(url, SCHEMES)?;
        let (flavour, kind) = match parts.scheme.split_once('+') {
            Some((flavour, kind)) => (flavour, kind),
            None if parts.scheme == "unix" => ("redis", "unix"),
            None => (parts.scheme, ""),
        };
        let (kind, stream) = match kind.strip_suffix("stream") {
            Some(rest) => (rest.trim_end_matches('+'), Some(StreamParameters::default())),
            None => (kind, None),
        };
        let (username, password) = parts.login()?;
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let mut target = Self {
            topology: topology(kind, parts.hosts, parts.path, channel)?,
            has_tls: matches!(flavour, "rediss" | "valkeys"),
            database: database_in(kind, parts.path)?,
            login: Login {
                username: given(username),
                password: given(password),
            },
            stream,
            ..Self::default()
        };
        target.tls = parts.read_parameters(target.has_tls, "rediss", &KNOWN, |name, value| {
            target.apply(name, value)
        })?;
        Ok(target)
    }

    /// Applies a parameter; false if it is unknown.
    fn apply(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        let value = decoded(value)?;
        match name {
            "username" => self.login.username = Some(value),
            "password" => self.login.password = Some(value),
            "db" => self.database = database(&value)?,
            "sentinel_username" | "sentinel_password" if !matches!(self.topology, Topology::Sentinel { .. }) => {
                return Err(bad(format!(
                    "the parameter {name:?} needs redis+sentinel:// as the scheme"
                )));
            }
            "sentinel_username" => self.sentinel_login.username = Some(value),
            "sentinel_password" => self.sentinel_login.password = Some(value),
            "max_len" => self.stream_parameters(name)?.max_len = Some(number(name, &value)?),
            "max_age" => {
                let seconds = number(name, &value)?;
                self.stream_parameters(name)?.max_age = Some(Duration::from_secs(seconds));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns what the URL says of the stream, for the parameter `name`.
    fn stream_parameters(&mut self, name: &str) -> Result<&mut StreamParameters, Error> {
        let stream = self.stream.as_mut();
        stream.ok_or_else(|| {
            bad(format!(
                "the parameter {name:?} needs a scheme of a stream, as redis+stream://"
            ))
        })
    }

    /// Returns the address or addresses, human-readable.
    pub(crate) fn label(&self) -> String {
        let list = |nodes: &[Address]| nodes.iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
        match &self.topology {
            Topology::Unix(path) => path.display().to_string(),
            Topology::Nodes(nodes) => list(nodes),
            Topology::Sentinel { sentinels, service } => {
                format!("service {service:?} of sentinels {}", list(sentinels))
            }
        }
    }
}

/// Reads the servers: what hosts and path mean depends on the `kind` of URL.
fn topology(kind: &str, hosts: &str, path: &str, channel: &str) -> Result<Topology, Error> {
    match kind {
        "unix" => match path.is_empty() || !hosts.is_empty() {
            true => Err(bad("a unix URL needs an absolute path: unix:///run/redis.sock")),
            false => Ok(Topology::Unix(decoded(path)?.into())),
        },
        "sentinel" => {
            let service = sentinel_service(path)?.unwrap_or_else(|| channel.to_owned());
            let sentinels = Address::parse_list(hosts, 26_379)?;
            Ok(Topology::Sentinel { sentinels, service })
        }
        _ => {
            let nodes = Address::parse_list(hosts, 6379)?;
            if nodes.len() > 1 && kind != "cluster" {
                return Err(bad(
                    "several hosts need redis+cluster:// or redis+sentinel:// as the scheme",
                ));
            }
            Ok(Topology::Nodes(nodes))
        }
    }
}

/// Reads `/db/service`, of which each part may be missing.
fn sentinel_service(path: &str) -> Result<Option<String>, Error> {
    let path = path.trim_matches('/');
    let service = match path.split_once('/') {
        Some((_, service)) => service,
        None if path.parse::<u32>().is_ok() => "",
        None => path,
    };
    let service = decoded(service)?;
    Ok(Some(service).filter(|service| !service.is_empty()))
}

/// Reads the number of the database in a path: before the service where that names one.
fn database_in(kind: &str, path: &str) -> Result<u32, Error> {
    let path = path.trim_matches('/');
    match (kind, path.split_once('/')) {
        ("unix", _) => Ok(0),
        ("sentinel", Some((number, _))) => database(number),
        // One part is a number or the service.
        ("sentinel", None) => Ok(path.parse().unwrap_or(0)),
        _ => database(path),
    }
}

/// Reads the number that a parameter has.
fn number(name: &str, value: &str) -> Result<u64, Error> {
    let number = value.parse();
    number.map_err(|_| bad(format!("the parameter {name:?} is not a number")))
}

/// Reads the number of a database; 0 if there is none.
fn database(number: &str) -> Result<u32, Error> {
    match number {
        "" => Ok(0),
        number => number
            .parse()
            .map_err(|_| bad("the database in the URL is not a number")),
    }
}

#[cfg(test)]
mod tests;
