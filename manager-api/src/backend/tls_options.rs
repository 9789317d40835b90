//! The options of TLS, and the corresponding parameters of a URL, with the same names for every manager.

use std::path::PathBuf;

use super::bad;
use super::url::decoded;
use crate::Error;

/// The certificates that are trusted and presented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file with the certificates to trust: authorities, or the broker's own certificate. Default none: those of
    /// the system. `?ca=` in the URL takes precedence.
    pub ca_file: Option<PathBuf>,
    /// PEM files with our own certificate chain and its private key, for brokers that request them. Default none.
    /// `?client_cert=` and `?client_key=` in the URL take precedence.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// The name that the broker's certificate must have, and that is sent to it. Default none: the host of the URL.
    /// `?tls_server_name=` in the URL takes precedence.
    pub server_name: Option<String>,
}

/// The TLS parameters of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsParameters {
    /// `ca`: a file with certificates to trust.
    pub ca: Option<PathBuf>,
    /// `client_cert`: a file with our certificate chain.
    pub client_cert: Option<PathBuf>,
    /// `client_key`: a file with its private key; without it, the key is in the file of `client_cert`.
    pub client_key: Option<PathBuf>,
    /// `tls_server_name`: the name that the broker's certificate must have.
    pub server_name: Option<String>,
}

impl TlsParameters {
    /// The names of the parameters.
    pub const NAMES: [&'static str; 4] = ["ca", "client_cert", "client_key", "tls_server_name"];

    /// Applies one parameter, still percent-encoded; false if it is not one of these. `tls_scheme` is named in the
    /// error for a URL without TLS.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the URL is without TLS, for a server name that no certificate can have,
    /// or as [`decoded`].
    pub fn apply(&mut self, name: &str, value: &str, has_tls: bool, tls_scheme: &str) -> Result<bool, Error> {
        if !Self::NAMES.contains(&name) {
            return Ok(false);
        }
        if !has_tls {
            let text = format!("the parameter {name:?} needs a URL with TLS, such as {tls_scheme}://");
            return Err(bad(text));
        }
        let value = decoded(value)?;
        match name {
            "ca" => self.ca = Some(value.into()),
            "client_cert" => self.client_cert = Some(value.into()),
            "client_key" => self.client_key = Some(value.into()),
            _ => self.server_name = Some(server_name(value)?),
        }
        Ok(true)
    }

    /// Returns `options` overridden by the parameters of the URL.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a key without a certificate.
    pub fn over(&self, options: &TlsOptions) -> Result<TlsOptions, Error> {
        let client_identity = match (&self.client_cert, &self.client_key) {
            (Some(chain), key) => Some((chain.clone(), key.as_ref().unwrap_or(chain).clone())),
            (None, None) => options.client_identity.clone(),
            (None, Some(_)) => return Err(bad("the parameter \"client_key\" needs \"client_cert\" beside it")),
        };
        Ok(TlsOptions {
            ca_file: self.ca.clone().or_else(|| options.ca_file.clone()),
            client_identity,
            server_name: self.server_name.clone().or_else(|| options.server_name.clone()),
        })
    }
}

/// Returns the value of `tls_server_name`, which is a DNS name or an address.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) for text that no certificate can have for a name. Without the feature `tls`
/// nothing is checked, as no connection has TLS.
fn server_name(value: String) -> Result<String, Error> {
    #[cfg(feature = "tls")]
    if let Err(error) = rustls::pki_types::ServerName::try_from(value.as_str()) {
        let text = "the parameter \"tls_server_name\" is not a name that a certificate can have";
        return Err(bad(text).with_source(error));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(parameters: &[(&str, &str)]) -> TlsParameters {
        let mut applied = TlsParameters::default();
        for (name, value) in parameters {
            assert!(applied.apply(name, value, true, "rediss").unwrap(), "{name}");
        }
        applied
    }

    #[test]
    fn parameters_take_precedence_over_options() {
        let options = TlsOptions {
            ca_file: Some("a".into()),
            client_identity: Some(("b".into(), "c".into())),
            server_name: Some("d".to_owned()),
        };
        assert_eq!(applied(&[]).over(&options).unwrap(), options);
        let all = [
            ("ca", "%41"),
            ("client_cert", "B"),
            ("client_key", "C"),
            ("tls_server_name", "D"),
        ];
        let expected = TlsOptions {
            ca_file: Some("A".into()),
            client_identity: Some(("B".into(), "C".into())),
            server_name: Some("D".to_owned()),
        };
        assert_eq!(applied(&all).over(&options).unwrap(), expected);
        let both = applied(&[("client_cert", "B")]).over(&options).unwrap().client_identity;
        assert_eq!(both, Some(("B".into(), "B".into())), "one file may hold both");
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let mut parameters = TlsParameters::default();
        assert!(!parameters.apply("db", "1", true, "rediss").unwrap());
        #[cfg(feature = "tls")]
        for name in ["", "a%20b", "http://h"] {
            let error = parameters.apply("tls_server_name", name, true, "rediss").unwrap_err();
            assert!(error.to_string().contains("tls_server_name"), "{error}");
        }
        let error = parameters.apply("ca", "x", false, "rediss").unwrap_err();
        assert!(error.to_string().contains("rediss://"), "{error}");
        let error = applied(&[("client_key", "C")])
            .over(&TlsOptions::default())
            .unwrap_err();
        assert!(error.to_string().contains("client_cert"), "{error}");
    }
}
