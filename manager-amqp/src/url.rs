//! What a URL says.

use std::path::PathBuf;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use manager_api::Error;
use manager_api::backend::bad;
use manager_api::backend::url::{self, decoded};

pub(crate) const SCHEMES: &[&str] = &["amqp", "amqps"];

/// Where to connect and as whom: a URL, parsed.
pub(crate) struct Target {
    pub(crate) uri: AMQPUri,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Target {
    /// Parses `url`; errors repeat its scheme or the name of a known parameter, nothing else of it.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let parts = url::parts(url, SCHEMES)?;
        let scheme = match parts.scheme {
            "amqps" => AMQPScheme::AMQPS,
            _ => AMQPScheme::AMQP,
        };
        let (host, port) = url::host_and_port(parts.hosts, scheme.default_port())?;
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
        let mut target = Self { uri, ca_file: None };
        let mut parameters = (1..).zip(parts.parameters());
        parameters.try_for_each(|(position, (name, value))| target.apply(position, name, value))?;
        Ok(target)
    }

    fn apply(&mut self, position: usize, name: &str, value: &str) -> Result<(), Error> {
        let has_tls = self.uri.scheme == AMQPScheme::AMQPS;
        let known = &mut self.uri.query;
        match name {
            "heartbeat" => known.heartbeat = Some(number(name, value)?),
            "connection_timeout" => known.connection_timeout = Some(number(name, value)?),
            "channel_max" => known.channel_max = Some(number(name, value)?),
            "frame_max" => known.frame_max = Some(number(name, value)?),
            "ca" if has_tls => self.ca_file = Some(decoded(value)?.into()),
            "ca" => return Err(bad("the parameter \"ca\" needs a URL with TLS: amqps://")),
            _ => {
                let known = ["heartbeat", "connection_timeout", "channel_max", "frame_max", "ca"];
                return Err(url::unknown_parameter(position, &known));
            }
        }
        Ok(())
    }

    /// Names the place for people.
    pub(crate) fn label(&self) -> String {
        url::address(&self.uri.authority.host, self.uri.authority.port)
    }
}

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

/// Nothing, `/` and `%2f` are the virtual host `/`, as kombu and aio_pika read them.
fn vhost(path: &str) -> Result<String, Error> {
    match decoded(path.strip_prefix('/').unwrap_or(path))?.as_str() {
        "" => Ok("/".to_owned()),
        vhost => Ok(vhost.to_owned()),
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
    let text = || bad(format!("the URL parameter {name:?} is not a number, or too large"));
    value.parse().map_err(|_| text())
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
        let ca_file = Target::parse("amqps://h?ca=/a%20b").unwrap().ca_file;
        assert_eq!(ca_file, Some("/a b".into()));
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
        ] {
            let Err(error) = Target::parse(url) else {
                panic!("{url} was taken");
            };
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
