//! Redis behind a sentinel.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisBroker, ask};
use crate::brokers::Flavour;
use crate::brokers::private::until_answers;

/// The name of the server at the sentinel.
const SERVICE: &str = "main";
/// The longest time until the sentinel knows its server.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis and its sentinel. The effects of a failover are tested in `manager-redis`.
#[derive(Debug)]
pub struct RedisSentinel {
    server: RedisBroker,
    sentinel: RedisBroker,
}

#[async_trait]
impl Flavour for RedisSentinel {
    const NAME: &'static str = "Redis Sentinel";
    const NO_LINE: Option<&'static str> = Some("managers connect to where the sentinel says that the master is");

    async fn try_start() -> Result<Self, String> {
        let server = RedisBroker::try_start_with(&[]).await?;
        let folder = server.folder().join("sentinel.conf");
        // A sentinel stores its state in its configuration file.
        std::fs::write(&folder, "").map_err(|error| format!("no configuration for a sentinel: {error}"))?;
        let sentinel = RedisBroker::try_start_with(&[&folder.display().to_string(), "--sentinel"]).await?;
        let flavour = Self { server, sentinel };
        flavour.introduce().await?;
        Ok(flavour)
    }

    fn url(&self) -> String {
        format!("redis+sentinel://{}/{SERVICE}", self.sentinel.address())
    }

    fn direct_urls(&self) -> Vec<String> {
        vec![self.server.url()]
    }

    fn kill(&mut self) {
        self.sentinel.kill();
        self.server.kill();
    }

    async fn restart(&mut self) {
        self.server.restart().await;
        self.sentinel.restart().await;
    }

    async fn freeze(&self) -> bool {
        self.server.freeze().await;
        true
    }

    fn thaw(&self) {
        self.server.thaw();
    }
}

impl RedisSentinel {
    /// Makes the sentinel monitor the server.
    async fn introduce(&self) -> Result<(), String> {
        let (sentinel, address) = (self.sentinel.url(), self.server.address());
        let (host, port) = address.split_once(':').unwrap_or_default();
        let mut watch = ::redis::cmd("SENTINEL");
        watch.arg("MONITOR").arg(SERVICE).arg(host).arg(port).arg(1);
        ask::<()>(&sentinel, &watch).await?;
        until_answers(PATIENCE, || knows(&sentinel)).await
    }
}

/// Requests the address of the server from a sentinel.
async fn knows(sentinel: &str) -> Result<(), String> {
    let mut question = ::redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(SERVICE);
    ask::<(String, u16)>(sentinel, &question).await.map(drop)
}
