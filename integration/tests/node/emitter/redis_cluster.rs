//! Fleets on a Redis Cluster of three nodes, each with a third of the slots.

use super::{clients, events, requests};
use crate::node::fleet::{Fleet, Wire};
use crate::redis::topics::three_nodes::ThreeNodes;

macro_rules! on_a_cluster {
    ($($wire:ident as $test:ident,)*) => {
        $(#[tokio::test]
        async fn $test() {
            a_fleet_gets_events_and_responds(Wire::$wire).await;
        })*
    };
}

on_a_cluster! {
    Classic as classic_on_a_redis_cluster,
    Sharded as sharded_on_a_redis_cluster,
    Streams as streams_on_a_redis_cluster,
    StreamsSharded as streams_sharded_on_a_redis_cluster,
}

async fn a_fleet_gets_events_and_responds(wire: Wire) {
    let cluster = ThreeNodes::start().await;
    let url = cluster.url_of(1);
    events::events_reach_everyone_rooms_and_clients(Fleet::start_on(&url, wire).await).await;
    requests::clients_acknowledge(Fleet::start_on(&url, wire).await).await;
    clients::clients_are_found_and_counted(Fleet::start_on(&url, wire).await).await;
}
