//! Servers with a second, guarded port: with TLS, or with a login. Their first port is plain.

use async_trait::async_trait;

use super::Flavour;
use super::private::{Kind, Private};
use crate::proxy::TcpProxy;

/// The guarded port of a server, and the parameters that clients need for it.
#[async_trait]
pub trait Entrance: Sized + Send + Sync + 'static {
    /// The server behind it.
    type Server: Kind;

    /// The flavour's name in failures.
    const NAME: &'static str;

    /// Starts a server with such an entrance.
    ///
    /// # Errors
    ///
    /// The missing program or file.
    async fn try_open() -> Result<Guarded<Self>, String>;

    /// Returns the URL for managers that leads to a port of 127.0.0.1: the entrance, or a proxy before it.
    fn url_at(&self, port: u16) -> String;
}

/// A server with an entrance.
#[derive(Debug)]
pub struct Guarded<E: Entrance> {
    server: Private<E::Server>,
    ports: Ports,
    entrance: E,
}

/// The address of a guarded port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) own: u16,
    /// The target of a proxy, and the address that is advertised to its clients: for servers that tell clients where to connect.
    pub(super) proxied: Option<(u16, u16)>,
}

impl<E: Entrance> Guarded<E> {
    pub(super) fn new(server: Private<E::Server>, ports: Ports, entrance: E) -> Self {
        Self {
            server,
            ports,
            entrance,
        }
    }

    /// Returns the server, whose own URL leads to where it speaks plainly.
    #[must_use]
    pub fn server(&self) -> &Private<E::Server> {
        &self.server
    }

    /// Returns the address of the entrance, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.own)
    }

    /// Returns the parameters that clients need for the guarded port.
    #[must_use]
    pub fn entrance(&self) -> &E {
        &self.entrance
    }
}

#[async_trait]
impl<E: Entrance> Flavour for Guarded<E> {
    const NAME: &'static str = E::NAME;

    async fn try_start() -> Result<Self, String> {
        E::try_open().await
    }

    fn url(&self) -> String {
        self.entrance.url_at(self.ports.own)
    }

    fn direct_urls(&self) -> Vec<String> {
        vec![self.server.url()]
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    async fn restart(&mut self) {
        self.server.restart().await;
    }

    async fn freeze(&self) -> bool {
        self.server.freeze().await;
        true
    }

    fn thaw(&self) {
        self.server.thaw();
    }

    async fn line(&self) -> Option<(TcpProxy, String)> {
        let (target, told) = self.ports.proxied.unwrap_or((self.ports.own, 0));
        let proxy = TcpProxy::start_on(told, format!("127.0.0.1:{target}")).await;
        let url = self.entrance.url_at(proxy.addr().port());
        Some((proxy, url))
    }
}
