//! The URL of a Redis server, of sentinels, or of a cluster.

use std::fmt;
use std::path::PathBuf;

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
];

/// The parameters beside those of TLS.
const KNOWN: [&str; 5] = ["username", "password", "db", "sentinel_username", "sentinel_password"];

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
            _ => return Ok(false),
        }
        Ok(true)
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
mod tests {
    use manager_api::ErrorKind;

    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url, "channel").unwrap()
    }

    fn refusal(url: &str) -> String {
        let error = Target::parse(url, "channel").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret"), "{text}");
        text
    }

    fn node(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address { host, port }
    }

    #[test]
    fn plain_urls_name_one_node() {
        for (url, expected, has_tls) in [
            ("redis://", node("localhost", 6379), false),
            ("redis://h", node("h", 6379), false),
            ("REDIS://h:1/", node("h", 1), false),
            ("redis://[::1]:7/3", node("::1", 7), false),
            ("rediss://h:2/0?ca=/a%20b", node("h", 2), true),
            ("valkey://h:3?db=1", node("h", 3), false),
            ("valkeys://h", node("h", 6379), true),
        ] {
            let target = parse(url);
            assert_eq!(target.topology, Topology::Nodes(vec![expected]), "{url}");
            assert_eq!(target.has_tls, has_tls, "{url}");
        }
        assert_eq!(parse("rediss://h?ca=/a%20b").tls.ca, Some("/a b".into()));
    }

    #[test]
    fn logins_are_decoded_and_never_shown() {
        for url in [
            "redis://me:s%40:%2Fecret@h",
            "redis://h?username=me&password=s%40:/ecret",
            "unix://me:s%40:%2Fecret@/run/r.sock",
        ] {
            let target = parse(url);
            assert_eq!(target.login.username.as_deref(), Some("me"), "{url}");
            assert_eq!(target.login.password.as_deref(), Some("s@:/ecret"), "{url}");
            assert!(!format!("{target:?} {}", target.label()).contains("ecret"));
        }
        assert_eq!(parse("redis://:pw@h").login.username, None);
    }

    #[test]
    fn sentinel_and_cluster_urls_name_several_nodes() {
        let two = vec![node("a", 1), node("b", 26_379)];
        for (url, service) in [
            ("redis+sentinel://u:p@a:1,b/0/mymaster", "mymaster"),
            ("valkey+sentinel://a:1,b/mymaster", "mymaster"),
            ("rediss+sentinel://a:1,b/2", "channel"),
            ("redis+sentinel://a:1,b", "channel"),
        ] {
            let sentinels = two.clone();
            let service = service.to_owned();
            assert_eq!(parse(url).topology, Topology::Sentinel { sentinels, service }, "{url}");
        }
        let target = parse("rediss+cluster://a:1,b:2");
        assert_eq!(target.topology, Topology::Nodes(vec![node("a", 1), node("b", 2)]));
        assert!(target.has_tls);
    }

    #[test]
    fn sentinels_have_a_login_and_certificates_names_of_their_own() {
        let target =
            parse("rediss+sentinel://u:p@a/s?sentinel_username=me&sentinel_password=s%40ecret&tls_server_name=n");
        assert_eq!(target.sentinel_login.username.as_deref(), Some("me"));
        assert_eq!(target.sentinel_login.password.as_deref(), Some("s@ecret"));
        assert_eq!(target.tls.server_name.as_deref(), Some("n"));
        assert!(!format!("{target:?}").contains("ecret"));
    }

    #[test]
    fn the_number_of_a_database_is_read_wherever_it_stands() {
        for (url, database) in [
            ("redis://h", 0),
            ("redis://h/", 0),
            ("redis://h/3", 3),
            ("redis://h/3?db=4", 4),
            ("redis+sentinel://a/5", 5),
            ("redis+sentinel://a/5/service", 5),
            ("redis+sentinel://a/service", 0),
            ("unix:///run/1.sock?db=6", 6),
        ] {
            assert_eq!(parse(url).database, database, "{url}");
        }
    }

    #[test]
    fn unix_urls_name_a_path() {
        for url in [
            "unix:///run/r.sock?db=0",
            "redis+unix:///run/r.sock",
            "valkey+unix:///run/r.sock",
        ] {
            assert_eq!(parse(url).topology, Topology::Unix("/run/r.sock".into()), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        let unknown = refusal("amqp://u:secret@h");
        assert!(
            unknown.contains("amqp") && unknown.contains("redis+sentinel"),
            "{unknown}"
        );
        for url in [
            "",
            "secret",
            "redis://u:secret@h:port",
            "redis://u:sec/secret@h",
            "redis://h:99999",
            "redis://h/secret",
            "redis://u:secret%4@h",
            "redis://a,b",
            "redis://h?ca=/secret",
            "redis://h?client_cert=/secret",
            "redis://h?tls_server_name=secret",
            "redis://h?sentinel_password=secret",
            "redis://h?nothing=secret",
            "unix://",
            "redis+sentinel://h/secret/x",
        ] {
            refusal(url);
        }
    }
}
