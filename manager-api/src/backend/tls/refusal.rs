//! Explanations of failed handshakes, with advice.

use std::error::Error as StdError;
use std::io;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error};

/// The first bytes of a TLS record with an alert: its type, and the major version of the protocol.
const ALERT: [u8; 2] = [21, 3];

/// Returns whether `input`, received in response to bytes that were not TLS, is an alert: the server expects TLS.
pub fn is_tls_alert(input: &[u8]) -> bool {
    input.starts_with(&ALERT)
}

/// Finds a TLS failure in `error` or its causes, and explains what is wrong and what to do; `None` if there is none, or
/// if it may be transient. A failure that is found is a refusal: retrying is pointless until a certificate or an option
/// changes.
pub fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    match rustls_error(error)? {
        Error::InvalidCertificate(fault) => Some(of_certificate(fault)),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) => Some("the response is not TLS: does this port speak it?".to_owned()),
        error @ (Error::PeerIncompatible(_) | Error::NoCertificatesPresented) => Some(format!("TLS failed: {error}")),
        _ => None,
    }
}

/// Explains the failure of a socket, that of TLS included; true if it is a refusal.
pub fn explained(error: &io::Error) -> (bool, String) {
    if let Some(text) = refusal(error) {
        return (true, text);
    }
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::ConnectionAborted => "connection closed".to_owned(),
        _ => error.to_string(),
    };
    (false, text)
}

fn rustls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

fn of_certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer => {
            "the broker's certificate is not trusted: name the authority that signed it, or the certificate \
                                            itself, as ca"
                .to_owned()
        }
        CertificateError::NotValidForName => {
            "the broker's certificate is for another name: connect by one that is in it, or give it as \
                                              tls_server_name"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().map(|name| plain(name)).collect();
            format!(
                "the broker's certificate is for {}, not for {}: connect by a name that is in it, or give that as tls_server_name",
                if presented.is_empty() {
                    "no name".to_owned()
                } else {
                    presented.join(", ")
                },
                name_of(expected),
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the broker's certificate has expired: renew it, or set the clock of this machine".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the broker's certificate is not valid yet: check the clocks of both machines".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the broker's certificate is not for servers (extended key usage)".to_owned()
        }
        CertificateError::Other(other) => of_webpki(&*other.0),
        fault => format!("the broker's certificate cannot be used: {fault}"),
    }
}

/// Explains a fault that webpki distinguishes and rustls does not.
fn of_webpki(fault: &(dyn StdError + Send + Sync + 'static)) -> String {
    match fault.downcast_ref() {
        Some(webpki::Error::UnsupportedCertVersion) => {
            "the broker's certificate is of X.509 version 1, which is only trusted when named itself as ca; better, make one of version 3"
                .to_owned()
        }
        Some(webpki::Error::CaUsedAsEndEntity) => {
            "the broker's certificate is an authority's (CA:TRUE), which is only trusted when named itself as ca".to_owned()
        }
        _ => format!("the broker's certificate cannot be used: {fault}"),
    }
}

fn of_alert(alert: AlertDescription) -> Option<String> {
    use AlertDescription::*;
    let text = match alert {
        CertificateRequired => "the broker requires a client certificate: give client_cert and client_key",
        BadCertificate
        | UnknownCA
        | CertificateUnknown
        | CertificateExpired
        | CertificateRevoked
        | UnsupportedCertificate
        | AccessDenied => {
            return Some(format!(
                "the broker refused our client certificate ({alert:?}): give one that it trusts as client_cert and client_key"
            ));
        }
        HandshakeFailure => {
            "the broker refused the handshake (HandshakeFailure): it may require a client certificate (client_cert and client_key), or share no \
             cipher with us"
        }
        UnrecognisedName => "the broker does not have this name: give the one it has as tls_server_name",
        ProtocolVersion | InsufficientSecurity => {
            "the broker does not support a version of TLS that we do (1.2 or 1.3)"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn name_of(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// Strips the type from `DnsName("a.b")` and `IpAddress(1.2.3.4)`.
fn plain(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}
