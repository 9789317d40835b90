//! Sockets of Unix, restricted users, Sentinel, Cluster: each with a real server.

use std::time::Duration;

use manager_api::{ClientManager, ErrorKind};
use manager_redis::RedisManager;
use tokio::time::{sleep, timeout};

use super::faults::{expect_message, hasty, next, until_gap, until_published};
use super::server::{Server, free_port};

/// Publishes one message and receives it.
pub(crate) async fn round_trip(manager: &RedisManager) {
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("there and back".into()).await.unwrap();
    expect_message(&mut subscription, "there and back").await;
}

#[tokio::test]
async fn a_unix_socket() {
    let server = Server::start_with(&["--unixsocket", "{dir}/r.sock", "--requirepass", "p@ss"]).await;
    let path = server.dir.path().join("r.sock");
    let url = format!("unix://:p%40ss@{}?db=0", path.display());
    round_trip(&RedisManager::new(&url, hasty()).unwrap()).await;
    let absent = RedisManager::new("unix:///nowhere/r.sock", hasty()).unwrap();
    let error = absent.publish("x".into()).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/r.sock"), "{error}");
}

#[tokio::test]
async fn a_user_who_may_only_publish_and_subscribe() {
    let server = Server::start().await;
    let rules = [
        "me",
        "on",
        ">pw",
        "resetchannels",
        "&socketio",
        "-@all",
        "+publish",
        "+subscribe",
    ];
    let set = redis::cmd("ACL").arg("SETUSER").arg(&rules).to_owned();
    server.command::<()>(&set).await.unwrap();
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port);
    round_trip(&RedisManager::new(&url, hasty()).unwrap()).await;

    let mut options = hasty();
    options.common.channel = "forbidden".to_owned();
    let elsewhere = RedisManager::new(&url, options).unwrap();
    let error = elsewhere.publish("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Publish);
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(elsewhere.subscribe().await.unwrap_err().kind(), ErrorKind::Connect);
}

/// Asks until the reply to `command` contains `text`.
pub(crate) async fn until_reply(server: &Server, command: &redis::Cmd, text: &str) {
    let asked = async {
        loop {
            let reply: redis::Value = server.command(command).await.unwrap();
            if format!("{reply:?}").contains(text) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), asked)
        .await
        .unwrap_or_else(|_| panic!("{text} never came"));
}

/// A master, its replica, and a sentinel that watches both as `mymaster`.
async fn master_replica_and_sentinel() -> (Server, Server, Server) {
    let first = Server::start().await;
    let second = Server::start().await;
    follow(&second, &first).await;

    let sentinel = Server::new(free_port(), &["{dir}/sentinel.conf", "--sentinel"]);
    let config = format!(
        "port {}\nsentinel monitor mymaster 127.0.0.1 {} 1\nsentinel down-after-milliseconds mymaster 1000\n",
        sentinel.port, first.port
    );
    std::fs::write(sentinel.dir.path().join("sentinel.conf"), config).unwrap();
    sentinel.restart_sentinel().await;
    (first, second, sentinel)
}

#[tokio::test]
async fn sentinel_names_the_master_and_a_failover_is_a_gap() {
    let (first, second, sentinel) = master_replica_and_sentinel().await;
    let dead = free_port();
    let url = format!(
        "redis+sentinel://127.0.0.1:{dead},127.0.0.1:{}/0/mymaster",
        sentinel.port
    );
    let manager = RedisManager::new(&url, hasty()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("on the first".into()).await.unwrap();
    expect_message(&mut subscription, "on the first").await;

    let master = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg("mymaster")
        .to_owned();
    let replicas = redis::cmd("SENTINEL").arg("REPLICAS").arg("mymaster").to_owned();
    until_reply(&sentinel, &replicas, &second.port.to_string()).await;
    first.kill().await;
    until_reply(&sentinel, &master, &second.port.to_string()).await;
    until_gap(&mut subscription).await;
    until_published(&manager, "on the second").await;
    expect_message(&mut subscription, "on the second").await;

    let unknown = format!("redis+sentinel://127.0.0.1:{}/unknown", sentinel.port);
    let error = RedisManager::new(&unknown, hasty())
        .unwrap()
        .publish("x".into())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("knows no service \"unknown\""), "{error}");
}

/// Makes `replica` one of `master`, and returns once it is.
pub(crate) async fn follow(replica: &Server, master: &Server) {
    let follow = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(master.port).to_owned();
    server_ok(replica, &follow).await;
    until_reply(replica, redis::cmd("INFO").arg("replication"), "master_link_status:up").await;
}

pub(crate) async fn server_ok(server: &Server, command: &redis::Cmd) {
    let _: redis::Value = server.command(command).await.unwrap();
}

#[tokio::test]
async fn any_node_of_a_cluster_will_do_and_the_next_one_is_tried() {
    let node = || Server::start_with(&["--cluster-enabled", "yes"]);
    let (first, second) = tokio::join!(node(), node());
    let slots = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).to_owned();
    server_ok(&first, &slots).await;
    let meet = redis::cmd("CLUSTER")
        .arg("MEET")
        .arg("127.0.0.1")
        .arg(first.port)
        .to_owned();
    server_ok(&second, &meet).await;
    for server in [&first, &second] {
        until_reply(server, redis::cmd("CLUSTER").arg("INFO"), "cluster_state:ok").await;
    }

    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", first.port, second.port);
    let manager = RedisManager::new(&url, hasty()).unwrap();
    // The first connection goes to the first node, the second to the second: the cluster forwards.
    manager.publish("unheard".into()).await.unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    let channels = redis::cmd("PUBSUB").arg("NUMSUB").arg("socketio").to_owned();
    let (_, num_on_second): (String, usize) = second.command(&channels).await.unwrap();
    assert_eq!(num_on_second, 1);
    manager.publish("forwarded".into()).await.unwrap();
    expect_message(&mut subscription, "forwarded").await;

    second.kill().await;
    until_gap(&mut subscription).await;
    until_published(&manager, "on the first").await;
    let _ = next(&mut subscription).await;
}
