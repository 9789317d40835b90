//! What a URL says.

use manager_api::Error;
use manager_api::backend::bad;
use manager_api::backend::url::{self, decoded};

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
    /// Parses `url`; errors repeat its scheme, nothing else of it.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let parts = url::parts(url, SCHEMES)?;
        if !parts.userinfo.is_empty() {
            let text = "a Kafka URL has no user; log in by properties: \
                ?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=…&sasl.password=…";
            return Err(bad(text));
        }
        if !matches!(parts.path, "" | "/") {
            return Err(bad("a Kafka URL has no path; the topic is the channel"));
        }
        let servers: Result<Vec<_>, _> = parts.hosts.split(',').map(|host| server(host.trim())).collect();
        let property = |(name, value)| Ok((decoded(name)?, decoded(value)?));
        Ok(Self {
            servers: servers?.join(","),
            properties: parts.parameters().map(property).collect::<Result<_, Error>>()?,
        })
    }
}

/// Completes `host`, `host:port` or `[address]:port`.
fn server(text: &str) -> Result<String, Error> {
    let (host, port) = url::host_and_port(text, DEFAULT_PORT)?;
    Ok(url::address(&host, port))
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
