//! PostgreSQL over TLS, with an authority of its own.

use async_trait::async_trait;

use super::{CERTIFICATES, Postgres, PostgresBroker};
use crate::brokers::certificates::Certificates;
use crate::brokers::guarded::{Entrance, Guarded, Ports};

/// A PostgreSQL that speaks TLS, on the port on which it also speaks plainly.
pub type PostgresTls = Guarded<PostgresOverTls>;

/// The certificates of the server.
#[derive(Debug)]
pub struct PostgresOverTls(Certificates);

impl PostgresTls {
    /// Returns `ca.pem`, `own.pem` and `own.key`.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.entrance().0
    }
}

#[async_trait]
impl Entrance for PostgresOverTls {
    type Server = Postgres;

    const NAME: &'static str = "PostgreSQL over TLS";

    async fn try_open() -> Result<PostgresTls, String> {
        let certificates = Certificates::signed()?;
        let folder = certificates.file("");
        let server = PostgresBroker::try_start_with(&[&format!("{CERTIFICATES}{folder}")]).await?;
        let ports = Ports {
            own: server.kind().port,
            proxied: None,
        };
        Ok(Guarded::new(server, ports, Self(certificates)))
    }

    fn url_at(&self, port: u16) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{port}/postgres?sslmode=require&ca={}",
            self.0.file("ca.pem")
        )
    }
}
