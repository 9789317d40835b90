//! Two servers on one Redis under a random script of clients and servers, after which nothing is left of either.
//!
//! The servers are processes of their own. Clients come by WebSocket, by polling and by an upgrade, and go in every way; one server is
//! killed in the middle of each round and started again, and connections to Redis are cut. After each round no client, room, question,
//! timer or task is left, nothing is known of servers that are gone, and the server that lives through them all holds no more of its heap
//! than before the first client.
//!
//! `SIO_TEST_SEED` runs one script again.

mod client;
mod cluster;
mod round;

use cluster::Cluster;
use round::Round;

/// The number of rounds on the same servers.
const ROUNDS: usize = 4;
/// The bytes that a server may hold after a round beyond those before its first client: a read buffer of each of two threads, and the room that the
/// buffers of the connections to Redis keep for the next message.
const MORE_BYTES: u64 = 256 << 10;
/// And in how many blocks of the heap: a round has more clients by far, so that one small thing of each would be seen.
const MORE_BLOCKS: u64 = 32;

async fn run(seed: u64) {
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::start().await;
    let before = cluster.held().await;
    let mut after = Vec::new();
    for _ in 0..ROUNDS {
        Round::new(&mut cluster, &mut random).run().await;
        after.push(cluster.held().await);
    }
    println!("held before the first client: {before:?}; after each round: {after:?}");
    cluster.stop().await;
    for later in &after {
        assert!(
            later.bytes <= before.bytes + MORE_BYTES && later.blocks <= before.blocks + MORE_BLOCKS,
            "seed {seed}: held before the first client: {before:?}; after each round: {after:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_clients_and_killed_servers_after_random_scripts() {
    let seeds = match std::env::var("SIO_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("SIO_TEST_SEED is a number")],
        Err(_) => vec![1, fastrand::u64(..)],
    };
    for seed in seeds {
        run(seed).await;
    }
}
