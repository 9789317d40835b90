//! The conformance suite on every broker, in every flavour.

/// Makes a module with the suite for each flavour.
macro_rules! flavours {
    ($managers:ident: $($(#[$when:meta])? $module:ident: $flavour:ty),* $(,)?) => {
        $($(#[$when])? manager_testkit::conformance! {
            mod $module;
            shared: Broker::<$managers, $flavour>::shared().await;
            private: Broker::<$managers, $flavour>::private().await;
        })*

        pub(super) fn lacking() -> Vec<(&'static str, Fault, &'static str)> {
            [$($(#[$when])? super::lacking::<$managers, $flavour>()),*].concat()
        }
    };
}

mod amqp;
mod kafka;
mod postgres;
mod redis;
mod redis_stream;

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::{Flavour, shared};
use integration::proxy::TcpProxy;
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_testkit::{Backend, Fault, Link, OnLink};
use tokio::sync::Mutex;

/// The flavours that lack a fault, so that the cases which need it show nothing there: only these.
#[test]
fn what_a_flavour_cannot_show_is_on_this_list() {
    let lacking: Vec<_> = [
        amqp::lacking(),
        kafka::lacking(),
        postgres::lacking(),
        redis::lacking(),
        redis_stream::lacking(),
    ]
    .concat();
    let lacking: Vec<_> = lacking.iter().map(|(name, fault, _)| (*name, *fault)).collect();
    assert_eq!(
        lacking,
        [
            ("RabbitMQ", Fault::Topics),
            ("RabbitMQ", Fault::Replay),
            ("RabbitMQ over TLS", Fault::Topics),
            ("RabbitMQ over TLS", Fault::Replay),
            ("Kafka", Fault::Topics),
            ("Kafka", Fault::Replay),
            ("Kafka with SASL/PLAIN", Fault::Topics),
            ("Kafka with SASL/PLAIN", Fault::Replay),
            #[cfg(feature = "kafka-tls")]
            ("Kafka over TLS", Fault::Topics),
            #[cfg(feature = "kafka-tls")]
            ("Kafka over TLS", Fault::Replay),
            ("PostgreSQL", Fault::TopicKinds),
            ("PostgreSQL", Fault::Replay),
            ("Redis", Fault::Replay),
            ("Redis over TLS", Fault::Replay),
            ("Redis Sentinel", Fault::LosesAnswers),
            ("Redis Sentinel", Fault::Replay),
            ("Redis Cluster", Fault::StandsStill),
            ("Redis Cluster", Fault::LosesAnswers),
            ("Redis Cluster", Fault::Replay),
            ("Valkey", Fault::Replay),
        ]
    );
}

/// Returns the reason why a flavour lacks a fault, if it does.
fn why_not<M: Managers, F: Flavour>(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Topics => M::NO_TOPICS,
        Fault::Replay => M::NO_LOG,
        Fault::TopicKinds => M::NO_TOPIC_KINDS,
        Fault::StandsStill => F::NO_FREEZE,
        Fault::LosesAnswers => F::NO_LINE,
    }
}

/// The faults that a flavour does not have, and why.
fn lacking<M: Managers, F: Flavour>() -> Vec<(&'static str, Fault, &'static str)> {
    let faults = [
        Fault::StandsStill,
        Fault::LosesAnswers,
        Fault::Topics,
        Fault::TopicKinds,
        Fault::Replay,
    ]
    .into_iter();
    faults
        .filter_map(|fault| Some((F::NAME, fault, why_not::<M, F>(fault)?)))
        .collect()
}

/// The differences of one kind of manager.
#[async_trait]
trait Managers: Send + Sync + 'static {
    /// Whether a broker that is restarted forgets what it had accepted.
    const RESTART_LOSES_MESSAGES: bool = true;
    /// Why managers have no topics, if they have none.
    const NO_TOPICS: Option<&'static str> = None;
    /// Why managers have no log, if they have none.
    const NO_LOG: Option<&'static str> = None;
    /// Why its topics are plain ones only, if they are.
    const NO_TOPIC_KINDS: Option<&'static str> = None;

    /// Makes a manager for the broker of a URL.
    fn manager(url: &str, options: ManagerOptions) -> Arc<dyn ClientManager>;

    /// Counts what managers have left on the broker that consumes from a channel. `made` are the managers that were made on it.
    async fn num_consumers(direct_urls: &[String], channel: &str, made: &[HostId]) -> usize;
}

/// Managers on a broker of one flavour: the one of all tests, or one that a case may take down.
struct Broker<M, F> {
    url: String,
    direct_urls: Vec<String>,
    own: Option<Mutex<F>>,
    /// The channels of managers, and the hosts that the managers are, where they are one.
    made: Mutex<Vec<(String, HostId)>>,
    managers: PhantomData<M>,
}

impl<M: Managers, F: Flavour> Broker<M, F> {
    async fn shared() -> Self {
        let shared = shared::<F>().await;
        Self::new(shared.url().to_owned(), shared.direct_urls().to_vec(), None)
    }

    async fn private() -> Self {
        let own = F::try_start().await.unwrap_or_else(|why| panic!("{why}"));
        Self::new(own.url(), own.direct_urls(), Some(own))
    }

    fn new(url: String, direct_urls: Vec<String>, own: Option<F>) -> Self {
        Self {
            url,
            direct_urls,
            own: own.map(Mutex::new),
            made: Mutex::default(),
            managers: PhantomData,
        }
    }

    fn own(&self) -> &Mutex<F> {
        self.own.as_ref().expect("the broker of all tests stays up")
    }
}

#[async_trait]
impl<M: Managers, F: Flavour> Backend for Broker<M, F> {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        let channel = options.channel.clone();
        let manager = M::manager(&self.url, options);
        let made = manager.host_id().map(|host_id| (channel, host_id));
        self.made.lock().await.extend(made);
        manager
    }

    async fn stop(&self) {
        self.own().lock().await.kill();
    }

    async fn start(&self) {
        self.own().lock().await.restart().await;
    }

    fn lacks(&self, fault: Fault) -> Option<&'static str> {
        why_not::<M, F>(fault)
    }

    async fn freeze(&self) -> bool {
        self.own().lock().await.freeze().await
    }

    async fn thaw(&self) {
        self.own().lock().await.thaw();
    }

    async fn manager_on_link(&self, options: ManagerOptions) -> Option<OnLink> {
        let (proxy, url) = self.own().lock().await.line().await?;
        Some((M::manager(&url, options), Box::new(ProxyLine(proxy))))
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        let made = self.made.lock().await;
        let made = made.iter().filter(|(on, _)| on == channel);
        let made: Vec<_> = made.map(|(_, host_id)| host_id.clone()).collect();
        M::num_consumers(&self.direct_urls, channel, &made).await
    }

    fn restart_loses_messages(&self) -> bool {
        M::RESTART_LOSES_MESSAGES
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
