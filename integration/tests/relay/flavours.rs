//! Streams of Redis Cluster and behind Redis Sentinel.

use integration::brokers::redis::ask;
use integration::brokers::redis::{RedisCluster, RedisSentinel};
use integration::brokers::{Flavour, unique_channel};

use super::{Kind, Rig, acknowledged, ready};

/// A stream of one of the servers, which are named in this URL.
struct Stream {
    url: String,
    direct: String,
    name: String,
}

impl Kind for Stream {
    async fn new() -> Self {
        unreachable!("each test has its servers")
    }

    fn arguments(&self, _: u64) -> Vec<String> {
        ["redis-stream", &self.url, "--stream", &self.name]
            .map(str::to_owned)
            .to_vec()
    }

    async fn append(&mut self, bodies: Vec<String>) {
        for body in bodies {
            let add = redis::cmd("XADD")
                .arg(&self.name)
                .arg("*")
                .arg("body")
                .arg(body)
                .to_owned();
            let _id: String = ask(&self.direct, &add).await.unwrap();
        }
    }

    async fn dead_letters(&mut self, _: usize) -> Vec<(String, String)> {
        let length = redis::cmd("XLEN").arg(format!("{}.dead", self.name)).to_owned();
        let count: u64 = ask(&self.direct, &length).await.unwrap();
        vec![(String::new(), String::new()); usize::try_from(count).unwrap()]
    }
}

/// Entries are emitted, one goes to the dead letters, and after all servers were killed and are back new ones are read.
async fn relay_through_a_restart<F: Flavour>() {
    let mut flavour = F::try_start().await.unwrap();
    let url = flavour.url();
    let (scheme, addresses) = url.split_once("://").unwrap();
    let reversed: Vec<&str> = addresses.split(',').rev().collect();
    let stream = Stream {
        url: format!("{scheme}://{}", reversed.join(",")),
        direct: flavour.direct_urls()[0].clone(),
        name: unique_channel(),
    };
    let mut rig = Rig::new(stream).await;
    rig.kind.append_numbers(0..20).await;
    rig.kind.append(vec!["poison".to_owned()]).await;
    let mut relay = rig.relay(&["--admin-listen", "0"]);
    let address = ready(&mut relay).await;
    rig.take(20, integration::DEADLINE).await;
    acknowledged(&address, 21).await;
    assert_eq!(rig.kind.dead_letters(1).await.len(), 1);
    flavour.restart().await;
    rig.kind.append_numbers(20..40).await;
    rig.take(40, integration::DEADLINE).await;
    acknowledged(&address, 41).await;
    assert_eq!(rig.lost_and_doubled(40), (0, 0));
    relay.signal("TERM");
    let status = relay.wait(integration::DEADLINE).await;
    assert!(status.success(), "{status}: {}", relay.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_redis_cluster_is_relayed_although_another_node_is_named_first() {
    relay_through_a_restart::<RedisCluster>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_behind_redis_sentinel_is_relayed_before_and_after_its_restart() {
    relay_through_a_restart::<RedisSentinel>().await;
}
