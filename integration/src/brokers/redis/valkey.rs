//! Valkey.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;

use super::Redis;
use crate::brokers::private::{Kind, Private};

/// Valkey by its own scheme: where tests share it the server of `SIO_TEST_VALKEY_URL`, otherwise `valkey-server` where it is
/// installed, otherwise `redis-server`, from which it descends.
pub type Valkey = Private<ValkeyServer>;

/// `valkey-server` as a private broker.
#[derive(Debug)]
pub struct ValkeyServer(Redis);

#[async_trait]
impl Kind for ValkeyServer {
    const NAME: &'static str = "Valkey";
    const URL_VARIABLE: &'static str = "SIO_TEST_VALKEY_URL";
    const PATIENCE: Duration = Redis::PATIENCE;
    const INSTALL: &'static str = Redis::INSTALL;

    fn prepare(settings: &[&str], folder: &Path) -> Result<Self, String> {
        let mut server = Redis::prepare(settings, folder)?;
        let mut own = Command::new("valkey-server");
        own.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        if own.status().is_ok_and(|status| status.success()) {
            server.program = "valkey-server";
        } else {
            eprintln!("there is no valkey-server: redis-server stands in for it");
        }
        Ok(Self(server))
    }

    fn address(&self) -> String {
        self.0.address()
    }

    fn url(&self) -> String {
        format!("valkey://{}", self.address())
    }

    fn command(&self, folder: &Path) -> Command {
        self.0.command(folder)
    }

    async fn ping(url: &str) -> Result<(), String> {
        Redis::ping(url).await
    }
}
