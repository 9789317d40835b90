//! What a URL says.

use manager_api::Error;

use crate::config::bad;

pub(crate) const SCHEMES: &[&str] = &["kafka"];
const DEFAULT_PORT: u16 = 9092;

/// Where to connect and how: a URL, parsed.
#[derive(Clone, PartialEq)]
pub(crate) struct Target {
    /// `host:port,host:port`
    pub(crate) servers: String,
    /// Properties of librdkafka; values may be secrets.
    pub(crate) properties: Vec<(String, String)>,
}

impl Target {
    /// Parses `url`; errors repeat its scheme or the name of a property, nothing else of it.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("the URL has no scheme; write one such as kafka://HOST:PORT"));
        };
        if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(bad(format!("unknown URL scheme {scheme:?}; known is kafka")));
        }
        let (hosts, query) = rest.split_once('?').unwrap_or((rest, ""));
        if hosts.contains('@') {
            let text = "a Kafka URL has no user; log in by properties: \
                ?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=…&sasl.password=…";
            return Err(bad(text));
        }
        let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
        if hosts.contains('/') {
            return Err(bad("a Kafka URL has no path; the topic is the channel"));
        }
        let servers: Result<Vec<_>, _> = hosts.split(',').map(|host| server(host.trim())).collect();
        Ok(Self {
            servers: servers?.join(","),
            properties: properties(query)?,
        })
    }
}

/// Completes `host`, `host:port` or `[address]:port`.
fn server(text: &str) -> Result<String, Error> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => Some(DEFAULT_PORT),
    };
    let Some(port) = port else {
        return Err(bad("the URL has a port that is no number from 1 to 65535"));
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let is_address = host.starts_with('[') && host.ends_with(']');
    if !is_address && host.contains([':', '[', ']']) {
        return Err(bad(
            "the URL has a host that is none; write an IPv6 address in brackets",
        ));
    }
    Ok(format!("{}:{port}", decoded(host)?))
}

fn properties(query: &str) -> Result<Vec<(String, String)>, Error> {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let property = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        Ok((decoded(name)?, decoded(value)?))
    };
    parameters.map(property).collect()
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(bad("the URL has a '%' that two hexadecimal digits do not follow"));
        };
        bytes.push((high << 4 | low) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("the URL is not UTF-8 once percent-decoded"))?;
    match text.contains('\0') {
        true => Err(bad("the URL has a zero byte")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_completed() {
        for (url, servers) in [
            ("kafka://", "localhost:9092"),
            ("KAFKA://h", "h:9092"),
            ("kafka://h1:1,h2/", "h1:1,h2:9092"),
            ("kafka://[::1],[fe80::2]:7", "[::1]:9092,[fe80::2]:7"),
        ] {
            assert_eq!(Target::parse(url).unwrap().servers, servers, "{url}");
        }
    }

    #[test]
    fn properties_are_decoded() {
        let target = Target::parse("kafka://h?sasl.password=a%26b=c&linger.ms=2&").unwrap();
        let expected = [("sasl.password", "a&b=c"), ("linger.ms", "2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(target.properties, expected);
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        for url in [
            "",
            "secret",
            "amqp://h?x=secret",
            "kafka://u:secret@h",
            "kafka://h:secret",
            "kafka://h:99999",
            "kafka://h/secret",
            "kafka://fe80::1:secret",
            "kafka://a:b:1",
            "kafka://h?x=secret%4",
            "kafka://h?x=secret%00",
            "kafka://h?x=secret%ff",
        ] {
            let error = Target::parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            let said = format!("{error} {error:?}");
            assert!(!said.contains("secret"), "{url}: {said}");
        }
    }
}
