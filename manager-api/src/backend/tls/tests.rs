//! Certificates made by openssl, and handshakes with a server that presents them.

use std::path::PathBuf;
use std::process::Command;

use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use tempfile::TempDir;

use super::*;

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem";

/// A folder with the files of one server: `key.pem`, `cert.pem`.
struct Files(TempDir);

impl Files {
    /// Runs openssl with each of `commands`.
    fn made_by(commands: &[&str]) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for command in commands {
            let command = command.replace("NEWKEY", NEW_KEY);
            let done = Command::new("openssl")
                .args(command.split_whitespace())
                .current_dir(files.0.path())
                .output()
                .expect("openssl is installed");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        files
    }

    fn self_signed(more: &str) -> Self {
        Self::made_by(&[&format!(
            "req -x509 NEWKEY -out cert.pem -days 2 -subj /CN=broker.test {more}"
        )])
    }

    fn of_version_1(days: &str) -> Self {
        Self::made_by(&[
            "req -new NEWKEY -out request.pem -subj /CN=broker.test",
            &format!("x509 -req -in request.pem -signkey key.pem -out cert.pem {days}"),
        ])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Presents its certificate unchecked.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn server(files: &Files, version: &'static SupportedProtocolVersion) -> ServerConnection {
    let key = PrivateKeyDer::from_pem_file(files.path("key.pem")).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(certificates(&files.path("cert.pem")).unwrap(), key);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(shown))));
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// Performs a handshake between a server that has `files` and a client that trusts `ca` and expects `name`. Returns the
/// explanation of a refusal.
fn shake_hands(files: &Files, ca: &str, name: &str, version: &'static SupportedProtocolVersion) -> Result<(), String> {
    let options = TlsOptions {
        ca_file: Some(files.path(ca)),
        ..TlsOptions::default()
    };
    let tls = Tls::new(&options).unwrap();
    let name = ServerName::try_from(tls.name_of(name).to_owned()).unwrap();
    let mut client = ClientConnection::new(tls.config(), name).unwrap();
    let mut server = server(files, version);
    let explanation = |error: rustls::Error| refusal(&error).unwrap_or_else(|| panic!("not a refusal: {error}"));
    while client.is_handshaking() || server.is_handshaking() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        server.read_tls(&mut flight.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        client.read_tls(&mut flight.as_slice()).unwrap();
        client.process_new_packets().map_err(explanation)?;
    }
    Ok(())
}

fn both_versions(files: &Files, ca: &str, name: &str) -> Result<(), String> {
    shake_hands(files, ca, name, &version::TLS12)?;
    shake_hands(files, ca, name, &version::TLS13)
}

#[test]
fn a_self_signed_certificate_given_as_ca_is_trusted() {
    // As `openssl req -x509` makes them: an authority's, without a purpose, with or without
    // alternative names.
    let named = Files::self_signed("-addext subjectAltName=DNS:localhost,IP:127.0.0.1");
    for name in ["localhost", "127.0.0.1"] {
        both_versions(&named, "cert.pem", name).unwrap();
    }
    both_versions(&Files::self_signed(""), "cert.pem", "broker.test").unwrap();
    let no_authority = Files::self_signed("-addext basicConstraints=critical,CA:FALSE");
    both_versions(&no_authority, "cert.pem", "BROKER.test").unwrap();
}

#[test]
fn a_self_signed_certificate_of_version_1_given_as_ca_is_trusted() {
    both_versions(&Files::of_version_1("-days 2"), "cert.pem", "broker.test").unwrap();
}

#[test]
fn what_is_trusted_as_it_is_must_be_valid_for_this_name_and_time_and_for_servers() {
    let named = Files::self_signed("-addext subjectAltName=DNS:localhost");
    let explanation = both_versions(&named, "cert.pem", "127.0.0.1").unwrap_err();
    assert!(
        explanation.contains("is for localhost, not for 127.0.0.1"),
        "{explanation}"
    );
    // A common name is ignored where there are alternative names.
    let explanation = both_versions(&named, "cert.pem", "broker.test").unwrap_err();
    assert!(explanation.contains("tls_server_name"), "{explanation}");
    let explanation = both_versions(&Files::of_version_1("-days 2"), "cert.pem", "other.test").unwrap_err();
    assert!(
        explanation.contains("is for broker.test, not for other.test"),
        "{explanation}"
    );
    let explanation = both_versions(&Files::of_version_1("-days -1"), "cert.pem", "broker.test").unwrap_err();
    assert!(explanation.contains("has expired"), "{explanation}");
    let client = Files::self_signed("-addext extendedKeyUsage=clientAuth");
    let explanation = both_versions(&client, "cert.pem", "broker.test").unwrap_err();
    assert!(explanation.contains("not for servers"), "{explanation}");
}

#[test]
fn a_certificate_that_is_not_named_is_not_trusted() {
    let strangers = Files::self_signed("");
    let files = Files::self_signed("");
    std::fs::copy(strangers.path("cert.pem"), files.path("ca.pem")).unwrap();
    let explanation = both_versions(&files, "ca.pem", "broker.test").unwrap_err();
    assert!(explanation.contains("as ca"), "{explanation}");
    let old = Files::of_version_1("-days 2");
    std::fs::copy(strangers.path("cert.pem"), old.path("ca.pem")).unwrap();
    let explanation = both_versions(&old, "ca.pem", "broker.test").unwrap_err();
    assert!(explanation.contains("version 1"), "{explanation}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let files = Files::self_signed("");
    let refused = |options| Tls::new(&options).unwrap_err().to_string();
    for (ca, text) in [("none.pem", "cannot read"), ("key.pem", "no certificate")] {
        let explanation = refused(TlsOptions {
            ca_file: Some(files.path(ca)),
            ..TlsOptions::default()
        });
        assert!(explanation.contains(text) && explanation.contains(ca), "{explanation}");
    }
    let explanation = refused(TlsOptions {
        ca_file: Some(files.path("cert.pem")),
        client_identity: Some((files.path("cert.pem"), files.path("none.pem"))),
        ..TlsOptions::default()
    });
    assert!(explanation.contains("none.pem"), "{explanation}");
}
