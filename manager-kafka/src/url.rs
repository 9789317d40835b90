//! The URL of a Kafka cluster.

use manager_api::Error;
use manager_api::backend::bad;
use manager_api::backend::url::{self, Address, decoded};

/// The accepted schemes.
pub(crate) const SCHEMES: &[&str] = &["kafka"];
const DEFAULT_PORT: u16 = 9092;
/// The parameters for the files of TLS, as every manager names them, and the properties of librdkafka.
const TLS: &[(&str, &str)] = &[
    ("ca", "ssl.ca.location"),
    ("client_cert", "ssl.certificate.location"),
    ("client_key", "ssl.key.location"),
];

/// A URL, parsed: servers, and properties of librdkafka.
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
        let servers = Address::parse_list(parts.hosts, DEFAULT_PORT)?;
        let property = |(name, value)| Ok((decoded(name)?, decoded(value)?));
        let parameters = parts.parameters().map(property).collect::<Result<Vec<_>, Error>>()?;
        Ok(Self {
            servers: servers.iter().map(Address::to_string).collect::<Vec<_>>().join(","),
            properties: with_tls(parameters)?,
        })
    }
}

/// Replaces the parameters that every manager has for TLS by properties of librdkafka.
fn with_tls(parameters: Vec<(String, String)>) -> Result<Vec<(String, String)>, Error> {
    let has = |wanted: &str| parameters.iter().any(|(name, _)| name == wanted);
    let has_key = has("client_key");
    let is_tls =
        |(name, value): &(String, String)| name == "security.protocol" && value.to_ascii_uppercase().ends_with("SSL");
    let needs_tls = TLS.iter().find(|(name, _)| has(name)).map(|(name, _)| name);
    if let Some(name) = needs_tls.filter(|_| !parameters.iter().any(is_tls)) {
        let text = format!("the parameter {name:?} needs security.protocol=SSL or SASL_SSL beside it");
        return Err(bad(text));
    }
    if has_key && !has("client_cert") {
        return Err(bad("the parameter \"client_key\" needs \"client_cert\" beside it"));
    }
    if has("tls_server_name") {
        let text = "the parameter \"tls_server_name\" cannot be used with Kafka: a broker's certificate has the name at which it is reached";
        return Err(bad(text));
    }
    let mut properties = Vec::with_capacity(parameters.len() + 1);
    for (name, value) in parameters {
        let Some((_, property)) = TLS.iter().find(|(known, _)| *known == name) else {
            properties.push((name, value));
            continue;
        };
        if name == "client_cert" && !has_key {
            // One file may hold both.
            properties.push(("ssl.key.location".to_owned(), value.clone()));
        }
        properties.push(((*property).to_owned(), value));
    }
    Ok(properties)
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
    fn files_for_tls_have_the_names_that_other_managers_have() {
        let parsed = |query: &str| Target::parse(&format!("kafka://h?{query}")).map(|target| target.properties);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let protocol = ("security.protocol", "SASL_SSL");
        let key = ("ssl.key.location", "k");
        let expected = [
            protocol,
            ("ssl.ca.location", "/a"),
            ("ssl.certificate.location", "c"),
            key,
        ]
        .map(owned);
        let given = parsed("security.protocol=SASL_SSL&ca=%2Fa&client_cert=c&client_key=k");
        assert_eq!(given.unwrap(), expected);
        let expected = [protocol, ("ssl.key.location", "c"), ("ssl.certificate.location", "c")].map(owned);
        assert_eq!(parsed("security.protocol=SASL_SSL&client_cert=c").unwrap(), expected);
        for (query, name) in [
            ("ca=secret", "security.protocol"),
            ("security.protocol=SSL&client_key=secret", "client_cert"),
            ("security.protocol=SSL&tls_server_name=secret", "tls_server_name"),
        ] {
            let error = parsed(query).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
        }
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
