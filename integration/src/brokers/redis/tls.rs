//! Redis over TLS, with an authority of its own.

use async_trait::async_trait;

use super::{Redis, RedisBroker};
use crate::brokers::certificates::Certificates;
use crate::brokers::guarded::{Entrance, Guarded, Ports};
use crate::brokers::private::free_ports;

/// A Redis that speaks TLS on one port and plainly on another.
pub type RedisTls = Guarded<RedisOverTls>;

/// The port with TLS.
#[derive(Debug)]
pub struct RedisOverTls(Certificates);

#[async_trait]
impl Entrance for RedisOverTls {
    type Server = Redis;

    const NAME: &'static str = "Redis over TLS";

    async fn try_open() -> Result<RedisTls, String> {
        let certificates = Certificates::signed()?;
        let [ca, own, key] = ["ca.pem", "own.pem", "own.key"].map(|name| certificates.file(name));
        let [port] = free_ports()?;
        let server = RedisBroker::try_start_with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &own,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
        ])
        .await?;
        let ports = Ports {
            own: port,
            proxied: None,
        };
        Ok(Guarded::new(server, ports, Self(certificates)))
    }

    fn url_at(&self, port: u16) -> String {
        format!("rediss://127.0.0.1:{port}?ca={}", self.0.file("ca.pem"))
    }
}
