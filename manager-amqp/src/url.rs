//! The URL of a RabbitMQ broker.

use std::fmt::Display;
use std::str::FromStr;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use manager_api::Error;
use manager_api::backend::url::{self, Address, decoded};
use manager_api::backend::{TlsParameters, bad};

use crate::config::QueueKind;

/// The accepted schemes.
pub(crate) const SCHEMES: &[&str] = &["amqp", "amqps"];
/// The parameters beside those of TLS.
const KNOWN: [&str; 5] = ["heartbeat", "connection_timeout", "channel_max", "frame_max", "queue"];
/// The minimum size of a frame in AMQP 0-9-1, in bytes: the broker cuts a connection that requests less.
const MIN_FRAME: u32 = 4096;
/// The maximum number of channels that a connection of this crate uses at a time.
const MIN_CHANNELS: u16 = 2;
/// The minimum connection timeout, in milliseconds: without time no attempt succeeds.
const MIN_CONNECTION_TIMEOUT: u64 = 1;

/// A URL, parsed: address, login, virtual host, and options that take precedence.
pub(crate) struct Target {
    pub(crate) uri: AMQPUri,
    pub(crate) tls: TlsParameters,
    pub(crate) queue_kind: Option<QueueKind>,
}

impl Target {
    /// Parses `url`; errors repeat its scheme or the name of a known parameter, nothing else of it.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let parts = url::parts(url, SCHEMES)?;
        let scheme = match parts.scheme {
            "amqps" => AMQPScheme::AMQPS,
            _ => AMQPScheme::AMQP,
        };
        let Address { host, port } = Address::parse(parts.hosts, scheme.default_port())?;
        let uri = AMQPUri {
            scheme,
            authority: AMQPAuthority {
                userinfo: login(&parts)?,
                host,
                port,
            },
            vhost: vhost(parts.path)?,
            query: AMQPQueryString::default(),
        };
        let mut target = Self {
            uri,
            tls: TlsParameters::default(),
            queue_kind: None,
        };
        let has_tls = target.uri.scheme == AMQPScheme::AMQPS;
        target.tls = parts.read_parameters(has_tls, "amqps", &KNOWN, |name, value| target.apply(name, value))?;
        Ok(target)
    }

    /// Applies a parameter; false if it is unknown.
    fn apply(&mut self, name: &str, value: &str) -> Result<bool, Error> {
        let known = &mut self.uri.query;
        match name {
            "heartbeat" => known.heartbeat = Some(number(name, value, 0)?),
            "connection_timeout" => known.connection_timeout = Some(number(name, value, MIN_CONNECTION_TIMEOUT)?),
            "channel_max" => known.channel_max = Some(limit(name, value, MIN_CHANNELS)?),
            "frame_max" => known.frame_max = Some(limit(name, value, MIN_FRAME)?),
            "queue" => {
                let text = "the URL parameter \"queue\" is one of auto, durable, transient, exclusive, quorum";
                self.queue_kind = Some(QueueKind::named(value).ok_or_else(|| bad(text))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Returns the address, human-readable.
    pub(crate) fn label(&self) -> String {
        let AMQPAuthority { host, port, .. } = self.uri.authority.clone();
        Address { host, port }.to_string()
    }
}

/// Reads user and password; `guest` where they are missing.
fn login(parts: &url::Parts<'_>) -> Result<AMQPUserInfo, Error> {
    let (username, password) = parts.login()?;
    let mut login = AMQPUserInfo::default();
    if !username.is_empty() {
        login.username = username;
    }
    if parts.userinfo.contains(':') {
        login.password = password;
    }
    Ok(login)
}

/// Reads the virtual host; an empty path, `/` and `%2f` stand for `/`, as kombu and aio_pika read them.
fn vhost(path: &str) -> Result<String, Error> {
    match decoded(path.strip_prefix('/').unwrap_or(path))?.as_str() {
        "" => Ok("/".to_owned()),
        vhost => Ok(vhost.to_owned()),
    }
}

/// Reads a number that is not below `least`.
fn number<T: FromStr + PartialOrd + Display>(name: &str, value: &str, least: T) -> Result<T, Error> {
    let number: Option<T> = value.parse().ok();
    let text = || format!("the URL parameter {name:?} is not a number, too large, or less than {least}");
    match number.filter(|number| *number >= least) {
        Some(number) => Ok(number),
        None => Err(bad(text())),
    }
}

/// Reads a limit of which zero is none.
fn limit<T: FromStr + PartialOrd + Display + Default>(name: &str, value: &str, least: T) -> Result<T, Error> {
    match value.parse() {
        Ok(none) if none == T::default() => Ok(none),
        _ => number(name, value, least),
    }
}

#[cfg(test)]
mod tests {
    use manager_api::ErrorKind;

    use super::*;

    fn parse(url: &str) -> AMQPUri {
        Target::parse(url).unwrap().uri
    }

    #[test]
    fn hosts_ports_and_virtual_hosts_are_read() {
        for (url, host, port, vhost) in [
            ("amqp://", "localhost", 5672, "/"),
            ("amqp://h", "h", 5672, "/"),
            ("AMQP://h:1/", "h", 1, "/"),
            ("amqp://guest:guest@localhost:5672//", "localhost", 5672, "/"),
            ("amqp://h/%2f", "h", 5672, "/"),
            ("amqp://h/app%20one?heartbeat=3", "h", 5672, "app one"),
            ("amqps://[::1]/app", "::1", 5671, "app"),
        ] {
            let uri = parse(url);
            let read = (uri.authority.host.as_str(), uri.authority.port, uri.vhost.as_str());
            assert_eq!(read, (host, port, vhost), "{url}");
        }
        assert_eq!(Target::parse("amqps://[::1]").unwrap().label(), "[::1]:5671");
        let ca = Target::parse("amqps://h?ca=/a%20b").unwrap().tls.ca;
        assert_eq!(ca, Some("/a b".into()));
    }

    #[test]
    fn the_kind_of_queue_is_chosen() {
        for (name, kind) in [
            ("auto", QueueKind::Auto),
            ("durable", QueueKind::Durable),
            ("transient", QueueKind::Transient),
            ("exclusive", QueueKind::Exclusive),
            ("quorum", QueueKind::Quorum),
        ] {
            let target = Target::parse(&format!("amqp://h?queue={name}")).unwrap();
            assert_eq!(target.queue_kind, Some(kind));
        }
        assert_eq!(Target::parse("amqp://h").unwrap().queue_kind, None);
    }

    #[test]
    fn logins_are_decoded_and_default_to_guest() {
        let login = |url| parse(url).authority.userinfo;
        let expected = AMQPUserInfo {
            username: "me".to_owned(),
            password: "s@:/".to_owned(),
        };
        assert_eq!(login("amqp://me:s%40:%2F@h"), expected);
        assert_eq!(login("amqp://h"), AMQPUserInfo::default());
    }

    #[test]
    fn a_number_that_no_connection_can_have_is_refused_by_the_name_of_its_parameter() {
        for (name, bad, good) in [
            (
                "frame_max",
                &["1", "4095", "4294967296", "-1", "", "x"][..],
                &["0", "4096", "131072"][..],
            ),
            ("channel_max", &["1", "65536", "-1", "", "x"], &["0", "2", "65535"]),
            ("heartbeat", &["65536", "-1", "", "x", "1.5"], &["0", "1", "60"]),
            ("connection_timeout", &["0", "-1", "", "x", "10s"], &["1", "10000"]),
        ] {
            let parsed = |value: &str| Target::parse(&format!("amqp://h?{name}={value}"));
            for value in bad {
                let error = parsed(value)
                    .err()
                    .unwrap_or_else(|| panic!("{name}={value} was taken"));
                assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
            }
            for value in good {
                assert!(parsed(value).is_ok(), "{name}={value}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        for url in [
            "",
            "secret",
            "redis://u:secret@h",
            "amqp://u:secret@h:port",
            "amqp://u:sec/secret@h:x",
            "amqp://h:99999",
            "amqp://u:secret%4@h",
            "amqp://h?ca=/secret",
            "amqp://h?nothing=secret",
            "amqp://h?heartbeat=secret",
            "amqp://h?queue=secret",
        ] {
            let Err(error) = Target::parse(url) else {
                panic!("{url} was taken");
            };
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
