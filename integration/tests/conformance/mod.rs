//! The conformance suite on every broker, in every flavour.

mod amqp;
mod kafka;
mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::{Flavour, shared};
use integration::proxy::TcpProxy;
use manager_api::ClientManager;
use manager_testkit::{Line, OnALine};
use tokio::sync::Mutex;

/// A broker of one flavour: the one of all tests, or one that a case may take down.
struct Broker<F> {
    url: String,
    direct_urls: Vec<String>,
    own: Option<Mutex<F>>,
}

impl<F: Flavour> Broker<F> {
    async fn shared() -> Self {
        let shared = shared::<F>().await;
        Self {
            url: shared.url().to_owned(),
            direct_urls: shared.direct_urls().to_vec(),
            own: None,
        }
    }

    async fn private() -> Self {
        let own = F::try_start().await.unwrap_or_else(|why| panic!("{why}"));
        Self {
            url: own.url(),
            direct_urls: own.direct_urls(),
            own: Some(Mutex::new(own)),
        }
    }

    async fn stop(&self) {
        self.own().lock().await.kill();
    }

    async fn start(&self) {
        self.own().lock().await.restart().await;
    }

    async fn freeze(&self) -> bool {
        self.own().lock().await.freeze().await
    }

    async fn thaw(&self) {
        self.own().lock().await.thaw();
    }

    /// A manager that `make` makes of a URL through a proxy.
    async fn on_a_line(&self, make: impl FnOnce(&str) -> Arc<dyn ClientManager> + Send) -> Option<OnALine> {
        let (proxy, url) = self.own().lock().await.line().await?;
        Some((make(&url), Box::new(ProxyLine(proxy))))
    }

    fn own(&self) -> &Mutex<F> {
        self.own.as_ref().expect("the broker of all tests stays up")
    }
}

struct ProxyLine(TcpProxy);

#[async_trait]
impl Line for ProxyLine {
    fn swallow_answers(&self) {
        self.0.mute();
    }

    async fn cut(&self) {
        self.0.cut().await;
    }

    fn mend(&self) {
        self.0.restore();
    }
}
