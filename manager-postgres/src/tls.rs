//! TLS under the client library: the configuration that every manager has.

use std::io;

use futures_util::future::BoxFuture;
use manager_api::backend::tls::Tls;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::socket::{Encrypted, Socket};

/// One handshake with a server of this name.
pub(crate) struct Handshake {
    /// The configuration of rustls.
    connector: TlsConnector,
    /// The name that the certificate must have.
    name: ServerName<'static>,
}

impl Handshake {
    /// Prepares the handshake with a server at `host`; fails if no certificate can have its name.
    pub(crate) fn new(tls: &Tls, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(tls.name_of(host).to_owned());
        Ok(Self {
            connector: TlsConnector::from(tls.config()),
            name: name.map_err(|error| format!("not a name that a certificate can have: {error}"))?,
        })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, stream).await.map(Encrypted) })
    }
}

impl TlsStream for Encrypted {
    /// None: a login by SCRAM is bound to the password, not to the certificate, which is verified
    /// by itself.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
