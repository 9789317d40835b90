//! The options of a [`KafkaManager`](crate::KafkaManager).

use std::fmt;
use std::time::Duration;

use manager_api::ManagerOptions;

/// The options of a [`KafkaManager`](crate::KafkaManager): connections, the topic, limits.
#[derive(Clone)]
pub struct KafkaOptions {
    /// The options of every manager: channel (here a topic), deadline, limits, back-off. More than 4 GiB in
    /// flight count as 4 GiB, a `backoff_cap` over 2 s as 2 s.
    pub common: ManagerOptions,
    /// The creation of a missing topic.
    pub topic: TopicOptions,
    /// The time for which a message may wait for others, to be sent with them. Default 1 ms; more than 5 ms
    /// counts as 5 ms.
    pub linger: Duration,
    /// The time without a response after which a broker counts as dead and its connection is replaced. Default
    /// 10 s; at least 10 ms, at most 5 minutes.
    pub request_timeout: Duration,
    /// The interval at which a subscription looks for new partitions. Default 10 s; at least 100 ms.
    pub partition_refresh: Duration,
    /// Further properties of librdkafka, such as `security.protocol`; those in the URL take precedence. Default none.
    pub properties: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            common: ManagerOptions::default(),
            topic: TopicOptions::default(),
            linger: Duration::from_millis(1),
            request_timeout: Duration::from_secs(10),
            partition_refresh: Duration::from_secs(10),
            properties: Vec::new(),
        }
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaOptions")
            .field("common", &self.common)
            .field("topic", &self.topic)
            .field("linger", &self.linger)
            .field("request_timeout", &self.request_timeout)
            .field("partition_refresh", &self.partition_refresh)
            .field("properties", &names)
            .finish()
    }
}

/// The creation of a topic that does not exist.
#[derive(Clone, Debug)]
pub struct TopicOptions {
    /// Whether a missing topic is created. Default true; otherwise it is an error.
    pub is_created: bool,
    /// The number of partitions. Default none: that of the broker's configuration. With 1 the topic is also a
    /// [log](manager_api::ClientManager::replay), which a topic of several partitions cannot be: they have no common order.
    pub num_partitions: Option<u16>,
    /// The number of replicas. Default none: that of the broker's configuration.
    pub num_replicas: Option<u16>,
    /// Properties, such as `retention.ms`. Default none, except `max.message.bytes`, which permits the largest
    /// message.
    pub properties: Vec<(String, String)>,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self {
            is_created: true,
            num_partitions: None,
            num_replicas: None,
            properties: Vec::new(),
        }
    }
}
