//! The meaning of error codes of Kafka and librdkafka: which are refusals, which right is missing, what to do.

use std::fmt;

use manager_api::diagnosis::Code;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A right on the topic, by Kafka's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Describe,
    Read,
    Write,
    Create,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Right {
    /// Returns the text of this right as missing on `topic` if `code`, of an attempt that needs it, means that.
    pub(crate) fn missing(self, code: RDKafkaErrorCode, topic: &str) -> Option<String> {
        is_about_rights(code).then(|| format!("the right {self} on the topic {topic:?} is missing"))
    }

    /// Returns that text for a producer's own report, if the code means that it may not produce.
    pub(crate) fn missing_to_produce(code: RDKafkaErrorCode, reason: &str, topic: &str) -> Option<String> {
        let is_refused = code == RDKafkaErrorCode::ClusterAuthorizationFailed
            || code == RDKafkaErrorCode::Fatal && reason.contains("Cluster authorization failed");
        is_refused.then(|| {
            format!(
                "the right {} on the topic {topic:?} is missing (before Kafka 2.8 also IdempotentWrite on the cluster)",
                Self::Write
            )
        })
    }
}

/// Returns the code of an error, also where rdkafka does not expose it.
pub(crate) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Returns whether a user lacks a right.
pub(crate) fn is_about_rights(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(code, TopicAuthorizationFailed | ClusterAuthorizationFailed)
}

/// Returns whether retrying soon is pointless: the login, a right, a certificate or the topic's properties are
/// wrong. `reason` is the client library's text, if there is one.
pub(crate) fn is_refusal(code: RDKafkaErrorCode, reason: &str) -> bool {
    use RDKafkaErrorCode::*;
    match code {
        // The client library's own codes concern a connection that ended meanwhile.
        Authentication => !reason.contains(": Local: "),
        SaslAuthenticationFailed
        | UnsupportedSASLMechanism
        | IllegalSASLState
        | InvalidTopic
        | InvalidConfig
        | InvalidPartitions
        | InvalidReplicationFactor
        | PolicyViolation => true,
        // A broker that only ends the connection may be stopping.
        SSL => ["certificate", "wrong version number", "alert"]
            .iter()
            .any(|words| reason.contains(words)),
        // With TLS 1.3 a broker reports that after the handshake.
        BrokerTransportFailure => is_about_our_certificate(reason),
        code => is_about_rights(code),
    }
}

/// Returns what a diagnosis calls the cause. `reason` is the client library's text, if there is one.
pub(crate) fn cause_of(code: RDKafkaErrorCode, reason: &str) -> Code {
    use RDKafkaErrorCode::*;
    match code {
        code if is_about_rights(code) => Code::MissingRight,
        SaslAuthenticationFailed | UnsupportedSASLMechanism | IllegalSASLState => Code::Login,
        Authentication if is_refusal(code, reason) => Code::Login,
        SSL | BrokerTransportFailure if is_refusal(code, reason) => Code::Tls,
        code if is_gone(code) => Code::TopicMissing,
        code if is_refusal(code, reason) => Code::Refused,
        _ => Code::Unreachable,
    }
}

/// Returns whether the client library's text about a connection, `host:port/id: Connect to …`, concerns an address that
/// only the brokers have named: it is not among `servers`. Those of the URL have no number until they respond.
pub(crate) fn is_about_advertised(reason: &str, servers: &str) -> bool {
    let Some((place, what)) = reason.split_once(": ") else {
        return false;
    };
    let Some((address, id)) = place.rsplit_once('/') else {
        return false;
    };
    let is_numbered = !id.is_empty() && id.chars().all(|digit| digit.is_ascii_digit());
    let is_about_connecting = ["Connect to ", "Failed to resolve ", "Connection setup timed out"]
        .iter()
        .any(|beginning| what.starts_with(beginning));
    is_numbered && is_about_connecting && !servers.split(',').any(|server| server == address)
}

/// Returns whether a broker did not accept the client's certificate.
fn is_about_our_certificate(reason: &str) -> bool {
    reason.contains("alert") && reason.contains("certificate")
}

/// Returns whether reading cannot continue at its offset.
pub(crate) fn is_lost_place(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(code, AutoOffsetReset | LogTruncation | OffsetOutOfRange | NoOffset)
}

/// Returns whether the topic or a partition is gone.
pub(crate) fn is_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        UnknownTopicOrPartition | UnknownTopic | UnknownPartition | UnknownTopicId
    )
}

/// Returns whether a message exists but cannot be read.
pub(crate) fn is_unreadable(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        BadMessage | BadCompression | NotImplemented | InvalidMessage | InvalidMessageSize
    )
}

/// Returns the change to the URL that the client library's text suggests.
pub(crate) fn advice(reason: &str) -> Option<&'static str> {
    if is_about_our_certificate(reason) || reason.contains("client SSL authentication might be required") {
        return Some("the broker wants a certificate that it trusts, by client_cert= and client_key=");
    }
    if reason.contains("certificate verify failed") || reason.contains("verify broker certificate") {
        return Some(
            "name the authority of its certificate, or a self-signed certificate itself, by ca=, and the broker as its certificate does \
             (ssl.endpoint.identification.algorithm=none takes any name)",
        );
    }
    let takes_no_login = reason.contains("not valid in current SASL state");
    takes_no_login.then_some("this port takes no login: leave security.protocol=SASL_… out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_its_topic() {
        let missing = Right::Read
            .missing(RDKafkaErrorCode::TopicAuthorizationFailed, "t")
            .unwrap();
        assert_eq!(missing, "the right Read on the topic \"t\" is missing");
        assert_eq!(Right::Read.missing(RDKafkaErrorCode::AllBrokersDown, "t"), None);
        let reason = "Fatal error: Broker: Cluster authorization failed: not permitted";
        let missing = Right::missing_to_produce(RDKafkaErrorCode::Fatal, reason, "t").unwrap();
        assert!(
            missing.contains("Write") && missing.contains("IdempotentWrite"),
            "{missing}"
        );
        assert_eq!(Right::missing_to_produce(RDKafkaErrorCode::Fatal, "fenced", "t"), None);
    }

    #[test]
    fn an_address_that_only_the_brokers_have_named_is_told_from_one_of_the_url() {
        for (reason, is_advertised) in [
            (
                "kafka:9092/1: Failed to resolve 'kafka:9092': Name or service not known",
                true,
            ),
            (
                "10.0.0.1:9092/12: Connect to ipv4#10.0.0.1:9092 failed: Connection refused",
                true,
            ),
            ("10.0.0.1:9092/1: Connection setup timed out in state CONNECT", true),
            ("h:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused", false),
            ("kafka:9092/bootstrap: Failed to resolve 'kafka:9092'", false),
            ("kafka:9092/1: Disconnected", false),
            ("1/1 brokers are down", false),
            ("", false),
        ] {
            assert_eq!(is_about_advertised(reason, "h:1,h:2"), is_advertised, "{reason}");
        }
    }

    #[test]
    fn a_login_that_a_lost_connection_ends_is_not_a_refusal() {
        let refused = "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-256";
        assert!(is_refusal(RDKafkaErrorCode::Authentication, refused));
        let lost =
            "SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms: ";
        assert!(!is_refusal(RDKafkaErrorCode::Authentication, lost));
    }

    #[test]
    fn certificates_that_are_not_trusted_are_refusals_and_connections_that_end_are_not() {
        let failed = "SSL handshake failed: certificate verify failed";
        assert!(is_refusal(RDKafkaErrorCode::SSL, failed));
        assert_eq!(cause_of(RDKafkaErrorCode::SSL, failed), Code::Tls);
        assert_eq!(cause_of(RDKafkaErrorCode::SSL, "Disconnected"), Code::Unreachable);
        assert!(is_refusal(
            RDKafkaErrorCode::SSL,
            "SSL handshake failed: wrong version number"
        ));
        assert!(!is_refusal(RDKafkaErrorCode::SSL, "SSL handshake failed: Disconnected"));
        assert!(!is_refusal(RDKafkaErrorCode::BrokerTransportFailure, "certificate"));
        assert!(is_refusal(
            RDKafkaErrorCode::BrokerTransportFailure,
            "Receive failed: ssl/tls alert bad certificate: SSL alert number 42"
        ));
    }
}
