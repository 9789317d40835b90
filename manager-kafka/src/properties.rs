//! The properties of librdkafka that may be set, and the cargo features that they need.

use manager_api::Error;
use manager_api::backend::bad;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::error::unusable;

/// Properties on which the contract of a manager depends, and what to use instead.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "name the brokers in the URL"),
    ("metadata.broker.list", "name the brokers in the URL"),
    ("acks", "every message is acknowledged by all in-sync replicas"),
    (
        "request.required.acks",
        "every message is acknowledged by all in-sync replicas",
    ),
    ("message.timeout.ms", "set the deadline"),
    ("delivery.timeout.ms", "set the deadline"),
    ("queue.buffering.max.messages", "set the bytes in flight"),
    ("queue.buffering.max.kbytes", "set the bytes in flight"),
    ("enable.idempotence", "a message is never doubled"),
    ("enable.auto.commit", "no offset is ever committed"),
    ("auto.commit.enable", "no offset is ever committed"),
    ("enable.auto.offset.store", "no offset is ever committed"),
    ("auto.offset.reset", "a subscription begins at the end"),
    ("enable.partition.eof", "nothing needs it"),
    ("transactional.id", "a message is published as soon as it is accepted"),
];

/// Refuses properties that cannot be used, by name; a value is never repeated, because it may be a secret.
pub(crate) fn check<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), Error> {
    let features = built_in()?;
    let has = |feature: &str| features.split(',').any(|known| known == feature);
    let (mut needs_login, mut has_mechanism) = (false, false);
    for (name, value) in properties {
        if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
            return Err(bad(format!("the property {name:?} cannot be set: {instead}")));
        }
        if is_mechanism(name) && value.eq_ignore_ascii_case("OAUTHBEARER") {
            return Err(bad(format!(
                "the property {name:?} asks for OAUTHBEARER, for which there is no source of tokens here: take SCRAM-SHA-512 or PLAIN over TLS, or a client certificate"
            )));
        }
        if let Some((feature, cargo)) = needed(name, value)
            && !has(feature)
        {
            return Err(missing(name, cargo));
        }
        needs_login |= name == "security.protocol" && value.to_ascii_lowercase().starts_with("sasl");
        has_mechanism |= is_mechanism(name);
    }
    // librdkafka would default to Kerberos, which is not built in.
    match needs_login && !has_mechanism {
        true => Err(bad(
            "to log in, name how: the property \"sasl.mechanism\" is missing, such as PLAIN or SCRAM-SHA-256",
        )),
        false => Ok(()),
    }
}

/// Refuses names that librdkafka does not know, by their number: the rest of a value with a raw `&` looks like a name.
pub(crate) fn check_known(properties: &[(String, String)]) -> Result<(), Error> {
    for (number, (name, value)) in (1..).zip(properties) {
        let tried = ClientConfig::new().set(name, value).create_native_config();
        if let Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) = tried {
            return Err(bad(format!(
                "property {number} of the URL is unknown to librdkafka (a '&' in a value must be percent-encoded as %26)"
            )));
        }
    }
    Ok(())
}

/// Returns whether a property chooses the mechanism of SASL.
fn is_mechanism(name: &str) -> bool {
    matches!(name, "sasl.mechanism" | "sasl.mechanisms")
}

/// What has to be built into librdkafka for a property, and the cargo feature that brings it, if there is one.
fn needed(name: &str, value: &str) -> Option<(&'static str, Option<&'static str>)> {
    let value = value.to_ascii_uppercase();
    match name {
        "security.protocol" if matches!(value.as_str(), "SSL" | "SASL_SSL") => Some(("ssl", Some("tls"))),
        name if name.starts_with("ssl.") || name == "enable.ssl.certificate.verification" => Some(("ssl", Some("tls"))),
        name if is_mechanism(name) => match value.as_str() {
            "PLAIN" => Some(("sasl_plain", None)),
            scram if scram.starts_with("SCRAM-") => Some(("sasl_scram", Some("tls"))),
            _ => Some(("sasl_gssapi", None)),
        },
        "compression.codec" | "compression.type" if value == "ZSTD" => Some(("zstd", Some("zstd"))),
        _ => None,
    }
}

/// Returns the error of a property that needs a cargo feature.
fn missing(name: &str, cargo: Option<&str>) -> Error {
    bad(match cargo {
        Some(feature) => format!(
            "the property {name:?} has a value for which manager-kafka has to be built with its cargo feature {feature:?}"
        ),
        None => format!("the property {name:?} has a value that is not built in; of SASL there are PLAIN and SCRAM"),
    })
}

/// Returns whether librdkafka was built with TLS.
pub(crate) fn has_tls() -> Result<bool, Error> {
    Ok(built_in()?.split(',').any(|feature| feature == "ssl"))
}

/// Returns the features that librdkafka was built with, separated by commas.
fn built_in() -> Result<String, Error> {
    let config = ClientConfig::new().create_native_config().map_err(unusable)?;
    config.get("builtin.features").map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(properties: &[(&str, &str)]) -> String {
        check(properties.iter().copied()).expect_err("a refusal").to_string()
    }

    #[test]
    fn what_is_not_built_in_is_refused_by_the_name_of_its_feature() {
        for (name, value) in [
            ("security.protocol", "ssl"),
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", "/secret"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
        ] {
            let properties = [("sasl.mechanism", "PLAIN"), (name, value)];
            match has_tls().unwrap() {
                true => check(properties.into_iter()).unwrap(),
                false => {
                    let said = refusal(&properties);
                    assert!(said.contains(name) && said.contains("\"tls\""), "{said}");
                    assert!(!said.contains("secret"), "{said}");
                }
            }
        }
        assert!(refusal(&[("sasl.mechanism", "GSSAPI")]).contains("PLAIN"));
    }

    #[test]
    fn a_login_by_token_is_refused_at_once_with_what_to_do_instead() {
        for name in ["sasl.mechanism", "sasl.mechanisms"] {
            let said = refusal(&[(name, "oauthbearer")]);
            assert!(said.contains("OAUTHBEARER") && said.contains("SCRAM"), "{said}");
        }
    }

    #[test]
    fn a_login_by_password_is_built_in_and_one_that_names_no_way_is_refused() {
        let login = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.username", "me")];
        assert!(refusal(&login).contains("sasl.mechanism"));
        let login = login.into_iter().chain([("sasl.mechanism", "PLAIN")]);
        check(login).unwrap();
    }
}
