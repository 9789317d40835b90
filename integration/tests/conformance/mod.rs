//! The conformance suite on every broker, in every flavour.

mod amqp;
mod kafka;
mod redis;

use integration::brokers::{Flavour, shared};
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

    fn own(&self) -> &Mutex<F> {
        self.own.as_ref().expect("the broker of all tests stays up")
    }
}
