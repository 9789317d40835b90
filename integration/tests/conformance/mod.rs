//! The conformance suite on every broker, in every flavour.

mod amqp;
mod kafka;
mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::{Flavour, shared};
use integration::proxy::TcpProxy;
use manager_api::ClientManager;
use manager_testkit::{Fault, Link, OnLink};
use tokio::sync::Mutex;

/// What the cases that need a fault cannot show, and in which flavour: none but these.
#[test]
fn what_a_flavour_cannot_show_is_on_this_list() {
    let lacking: Vec<_> = [amqp::lacking(), kafka::lacking(), redis::lacking()].concat();
    let lacking: Vec<_> = lacking.iter().map(|(name, fault, _)| (*name, *fault)).collect();
    assert_eq!(
        lacking,
        [
            ("Redis Sentinel", Fault::LosesAnswers),
            ("Redis Cluster", Fault::StandsStill),
            ("Redis Cluster", Fault::LosesAnswers),
        ]
    );
}

/// Why a flavour does not have a fault, if it does not.
fn why_not<F: Flavour>(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::StandsStill => F::NO_FREEZE,
        Fault::LosesAnswers => F::NO_LINE,
    }
}

/// The faults that a flavour does not have, and why.
fn lacking<F: Flavour>() -> Vec<(&'static str, Fault, &'static str)> {
    let faults = [Fault::StandsStill, Fault::LosesAnswers].into_iter();
    faults
        .filter_map(|fault| Some((F::NAME, fault, why_not::<F>(fault)?)))
        .collect()
}

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
    async fn on_a_line(&self, make: impl FnOnce(&str) -> Arc<dyn ClientManager> + Send) -> Option<OnLink> {
        let (proxy, url) = self.own().lock().await.line().await?;
        Some((make(&url), Box::new(ProxyLine(proxy))))
    }

    fn own(&self) -> &Mutex<F> {
        self.own.as_ref().expect("the broker of all tests stays up")
    }
}

struct ProxyLine(TcpProxy);

#[async_trait]
impl Link for ProxyLine {
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
