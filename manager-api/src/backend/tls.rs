//! The TLS configuration of connections to a broker, built by rustls from the files of [`TlsOptions`].

mod pinned;
mod refusal;
mod verifier;

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

pub use refusal::{explained, is_tls_alert, refusal};

use super::{TlsOptions, bad};
use crate::Error;
use verifier::Verifier;

/// The parameters of a handshake.
///
/// # Trust
///
/// A certificate is trusted if an authority of `ca_file`, or else of the system, has signed it; webpki checks validity,
/// purpose and name, and refuses versions other than 3. A certificate in `ca_file` itself is trusted as well, compared
/// byte for byte, as is usual for self-signed ones, even if it is an authority's or of version 1. Its validity, purpose
/// and name are checked all the same; without alternative names the common name is checked.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl Tls {
    /// Reads the files of `options`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a file that cannot be read or used, named in the text, or if the system
    /// has no certificates although they are needed.
    pub fn new(options: &TlsOptions) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(options.ca_file.as_deref(), &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("TLS cannot be set up").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &options.client_identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let text = format!("cannot use the private key in {}", key.display());
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
                config
                    .with_client_auth_cert(certificates(chain)?, private)
                    .map_err(|error| bad(text).with_source(error))?
            }
        };
        Ok(Self {
            config: Arc::new(config),
            server_name: options.server_name.clone(),
        })
    }

    /// Returns the configuration of rustls.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// Returns the name that the certificate of the broker at `host` must have.
    pub fn name_of<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }
}

fn verifier(ca_file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Verifier, Error> {
    let (roots, pinned) = trusted(ca_file)?;
    let by_authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let by_authority = by_authority.build().map_err(|error| {
        let text = "the system has no certificates to trust (the package is often called ca-certificates): install them, or name a file as ca";
        bad(text).with_source(error)
    })?;
    Ok(Verifier::new(
        by_authority,
        pinned,
        provider.signature_verification_algorithms,
    ))
}

/// Returns the authorities, and the certificates that are trusted themselves.
fn trusted(ca_file: Option<&Path>) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        // Some of a system's certificates are often unusable; those are ignored.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok((roots, Vec::new()));
    };
    let pinned = certificates(path)?;
    for certificate in &pinned {
        let text = format!("cannot use a certificate in {}", path.display());
        let added = roots.add(certificate.clone());
        added.map_err(|error| bad(text).with_source(error))?;
    }
    Ok((roots, pinned))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unreadable(path, error))?;
    if certificates.is_empty() {
        Err(bad(format!("no certificate in {}", path.display())))
    } else {
        Ok(certificates)
    }
}

fn unreadable(path: &Path, error: rustls::pki_types::pem::Error) -> Error {
    bad(format!("cannot read {}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests;
