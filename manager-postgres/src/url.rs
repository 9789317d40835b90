//! The URL of a PostgreSQL server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::url::{self, Address, Parts, decoded};
use manager_api::backend::{TlsParameters, bad};

use crate::config::check_schema;

/// The accepted schemes.
pub(crate) const SCHEMES: &[&str] = &["postgres", "postgresql"];

/// The parameters beside those of TLS, which libpq has as well, except `schema`.
const KNOWN: [&str; 12] = [
    "user",
    "password",
    "dbname",
    "host",
    "port",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "connect_timeout",
    "schema",
];
/// Names of libpq for the files of TLS, and ours.
const ALIASES: [(&str, &str); 3] = [
    ("sslrootcert", "ca"),
    ("sslcert", "client_cert"),
    ("sslkey", "client_key"),
];
/// The port of PostgreSQL.
const DEFAULT_PORT: u16 = 5432;
/// The user where the URL names none; the name of the system's user would depend on the machine.
const DEFAULT_USER: &str = "postgres";

/// A URL, parsed: addresses, login, database.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Target {
    /// At least one.
    pub(crate) hosts: Vec<Host>,
    /// The user that logs in.
    pub(crate) user: String,
    /// The password, if the URL has one.
    pub(crate) password: Option<String>,
    /// The database.
    pub(crate) database: String,
    /// Whether connections have TLS.
    pub(crate) has_tls: bool,
    /// The files of TLS.
    pub(crate) tls: TlsParameters,
    /// The schema of our objects, where the URL names it.
    pub(crate) schema: Option<String>,
    /// The name of connections, where the URL names it.
    pub(crate) application_name: Option<String>,
    /// The limit of an attempt, where the URL names it.
    pub(crate) connect_timeout: Option<Duration>,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Host {
    Tcp(Address),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("has_tls", &self.has_tls)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Parses `url`; errors repeat its scheme or the name of a known parameter, nothing else of it.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let parts = url::parts(url, SCHEMES)?;
        let (user, password) = parts.login()?;
        let mut target = Self {
            user,
            password: given(password),
            database: decoded(parts.path.strip_prefix('/').unwrap_or_default())?,
            has_tls: has_tls(&parts)?,
            ..Self::default()
        };
        let (mut folder, mut port, mut files) = (None, None, Vec::new());
        let tls = parts.read_parameters(true, "", &KNOWN, |name, value| {
            let value = decoded(value)?;
            match name {
                "host" => folder = given(value),
                "port" => port = Some(number(name, &value)?),
                _ if ALIASES.iter().any(|(alias, _)| *alias == name) => files.push((name.to_owned(), value)),
                _ => return target.apply(name, value),
            }
            Ok(true)
        })?;
        target.tls = tls;
        target.apply_files(files);
        if !target.has_tls && target.tls != TlsParameters::default() {
            return Err(bad("the files of TLS need sslmode=require in the URL"));
        }
        target.hosts = hosts(&parts, folder, port)?;
        if target.user.is_empty() {
            target.user = DEFAULT_USER.to_owned();
        }
        if target.database.is_empty() {
            target.database = target.user.clone();
        }
        Ok(target)
    }

    /// Applies a parameter; false if it is unknown.
    fn apply(&mut self, name: &str, value: String) -> Result<bool, Error> {
        match name {
            "user" => self.user = value,
            "password" => self.password = given(value),
            "dbname" => self.database = value,
            // Read before the others.
            "sslmode" => {}
            "application_name" => self.application_name = given(value),
            "connect_timeout" => {
                self.connect_timeout =
                    Some(Duration::from_secs(number::<u64>(name, &value)?)).filter(|time| !time.is_zero());
            }
            "schema" => {
                check_schema("the parameter \"schema\" is", &value)?;
                self.schema = Some(value);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Applies the files of TLS by the names that libpq has for them; ours take precedence.
    fn apply_files(&mut self, files: Vec<(String, String)>) {
        for (name, value) in files {
            let file = match name.as_str() {
                // A word of libpq for what is the default here.
                "sslrootcert" if value == "system" => continue,
                "sslrootcert" => &mut self.tls.ca,
                "sslcert" => &mut self.tls.client_cert,
                _ => &mut self.tls.client_key,
            };
            file.get_or_insert(value.into());
        }
    }

    /// Returns the addresses, human-readable.
    pub(crate) fn label(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.join(",")
    }
}

/// Returns a text unless it is empty.
fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Reads the number of a parameter.
fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
    value
        .parse()
        .map_err(|_| bad(format!("the parameter {name:?} is not a number in its range")))
}

/// Reads `sslmode`. What libpq's `prefer` and `allow` do, an attacker turns into a connection without TLS.
fn has_tls(parts: &Parts<'_>) -> Result<bool, Error> {
    let mode = parts.parameters().filter(|(name, _)| *name == "sslmode").last();
    match mode.map(|(_, value)| value) {
        None | Some("disable") => Ok(false),
        Some("require" | "verify-ca" | "verify-full") => Ok(true),
        Some(_) => Err(bad(
            "the parameter \"sslmode\" is disable (the default) or require, which verifies certificate and name; \
             verify-ca and verify-full are the same as require",
        )),
    }
}

/// Returns the servers: those of the URL, or the socket in the folder that the parameter `host` names.
fn hosts(parts: &Parts<'_>, folder: Option<String>, port: Option<u16>) -> Result<Vec<Host>, Error> {
    let default_port = port.filter(|port| *port > 0).unwrap_or(DEFAULT_PORT);
    match folder {
        None => {
            let addresses = Address::parse_list(parts.hosts, default_port)?;
            Ok(addresses.into_iter().map(Host::Tcp).collect())
        }
        Some(_) if !parts.hosts.is_empty() => Err(bad(
            "the parameter \"host\" needs a URL without hosts, as in postgres:///db?host=/run",
        )),
        Some(folder) if folder.starts_with('/') => {
            let path = PathBuf::from(folder).join(format!(".s.PGSQL.{default_port}"));
            Ok(vec![Host::Unix(path)])
        }
        Some(hosts) => {
            let addresses = Address::parse_list(&hosts, default_port)?;
            Ok(addresses.into_iter().map(Host::Tcp).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn a_url_is_read_as_by_libpq() {
        let target = parsed("postgresql://me:p%40w@h1,h2:7/shop?application_name=worker&schema=x&connect_timeout=3");
        assert_eq!(target.label(), "h1:5432,h2:7");
        assert_eq!((target.user.as_str(), target.password.as_deref()), ("me", Some("p@w")));
        assert_eq!(
            (target.database.as_str(), target.schema.as_deref()),
            ("shop", Some("x"))
        );
        assert_eq!(target.connect_timeout, Some(Duration::from_secs(3)));
        let least = parsed("postgres://");
        assert_eq!(
            (least.label().as_str(), least.user.as_str()),
            ("localhost:5432", "postgres")
        );
        assert_eq!((least.database.as_str(), least.password), ("postgres", None));
        assert_eq!(parsed("postgres://me@h").database, "me");
        let local = parsed("postgres:///shop?host=/run/postgresql&port=7&user=me");
        assert_eq!(local.label(), "/run/postgresql/.s.PGSQL.7");
    }

    #[test]
    fn tls_is_what_sslmode_says_and_never_optional() {
        for (mode, has_tls) in [
            ("disable", false),
            ("require", true),
            ("verify-ca", true),
            ("verify-full", true),
        ] {
            assert_eq!(
                parsed(&format!("postgres://h?sslmode={mode}")).has_tls,
                has_tls,
                "{mode}"
            );
        }
        let files = parsed("postgres://h?sslmode=require&sslrootcert=a&ca=b&sslcert=c&sslkey=d");
        assert_eq!(
            (files.tls.ca, files.tls.client_cert),
            (Some("b".into()), Some("c".into()))
        );
        for bad in [
            "sslmode=prefer",
            "sslmode=secret",
            "ca=secret",
            "sslmode=disable&sslrootcert=secret",
        ] {
            let error = Target::parse(&format!("postgres://h?{bad}")).unwrap_err().to_string();
            assert!(error.contains("sslmode") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_no_secret_is_shown() {
        for url in [
            "postgres://me:secret@h:x",
            "postgres://h?secret=1",
            "postgres://h?connect_timeout=secret",
            "postgres://h?host=/secret",
            "postgres://me:sec#ret@h",
            "postgres://h?schema=",
        ] {
            let text = format!("{:?}", Target::parse(url).unwrap_err());
            assert!(!text.contains("secret"), "{text}");
        }
        let shown = format!("{:?}", parsed("postgres://secret:secret@h/db?password=secret"));
        assert!(shown.contains("db") && !shown.contains("secret"), "{shown}");
    }
}
