//! TLS, sockets of Unix, restricted users, Sentinel, Cluster: each with a real server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use manager_api::{ClientManager, ErrorKind, Incoming};
use manager_redis::{RedisManager, RedisOptions, TlsOptions};
use tokio::time::{sleep, timeout};

use crate::faults::{expect_message, hasty, next, until_gap, until_published};
use crate::server::{Server, free_port};

/// Publishes one message and receives it.
async fn round_trip(manager: &RedisManager) {
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("there and back".into()).await.unwrap();
    expect_message(&mut subscription, "there and back").await;
}

fn openssl(dir: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Makes an authority, and a certificate for 127.0.0.1 and our client, in `dir`.
fn make_certificates(dir: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        dir,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
    );
    openssl(
        dir,
        &format!(
            "req -x509 {key} -keyout own.key -out own.pem -days 2 -subj /CN=server -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ),
    );
}

async fn tls_server(asks_for_certificates: &str) -> Server {
    let files = "--port 0 --tls-port {port} --tls-ca-cert-file {dir}/ca.pem \
                 --tls-cert-file {dir}/own.pem --tls-key-file {dir}/own.key --tls-auth-clients";
    let mut arguments: Vec<_> = files.split_whitespace().collect();
    arguments.push(asks_for_certificates);
    let server = Server::new(free_port(), &arguments);
    make_certificates(server.dir.path());
    server.restart().await;
    server
}

#[tokio::test]
async fn tls_with_a_private_authority() {
    let server = tls_server("no").await;
    let (port, dir) = (server.port, server.dir.path().display());
    let with_ca = format!("rediss://127.0.0.1:{port}?ca={dir}/ca.pem");
    let manager = RedisManager::new(&with_ca, hasty()).unwrap();
    round_trip(&manager).await;
    let mut subscription = manager.subscribe().await.unwrap();
    let payload = Bytes::from(vec![7; 3 << 20]);
    let (published, received) = tokio::join!(manager.publish(payload.clone()), next(&mut subscription));
    published.unwrap();
    assert!(received == Incoming::Message(payload));

    let without = RedisManager::new(&format!("rediss://127.0.0.1:{port}"), hasty()).unwrap();
    let error = without.publish("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("certificate"), "{error}");

    let plain = RedisManager::new(&format!("redis://127.0.0.1:{port}"), hasty()).unwrap();
    assert!(plain.publish("x".into()).await.unwrap_err().is_retryable());

    let error = RedisManager::new(&format!("rediss://127.0.0.1:{port}?ca={dir}/none.pem"), hasty()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = RedisManager::new(&format!("rediss://127.0.0.1:{port}?ca={dir}/own.key"), hasty()).unwrap_err();
    assert!(error.to_string().contains("no certificate"), "{error}");
}

#[tokio::test]
async fn tls_with_a_certificate_of_our_own() {
    let server = tls_server("yes").await;
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let file = |name: &str| server.dir.path().join(name);
    let mut options = RedisOptions {
        tls: TlsOptions {
            ca_file: Some(file("ca.pem")),
            client_identity: None,
        },
        ..hasty()
    };
    let anonymous = RedisManager::new(&url, options.clone()).unwrap();
    assert!(anonymous.publish("x".into()).await.is_err());
    options.tls.client_identity = Some((file("own.pem"), file("own.key")));
    round_trip(&RedisManager::new(&url, options).unwrap()).await;
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
async fn until_reply(server: &Server, command: &redis::Cmd, text: &str) {
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
    let follow = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(first.port).to_owned();
    server_ok(&second, &follow).await;
    until_reply(&second, redis::cmd("INFO").arg("replication"), "master_link_status:up").await;

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

    let unknown = format!("redis+sentinel://127.0.0.1:{}/nobody", sentinel.port);
    let error = RedisManager::new(&unknown, hasty())
        .unwrap()
        .publish("x".into())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("knows no service \"nobody\""), "{error}");
}

async fn server_ok(server: &Server, command: &redis::Cmd) {
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
    manager.publish("nobody listens".into()).await.unwrap();
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
