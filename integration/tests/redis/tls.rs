//! TLS: who is trusted, what is shown, and what a refusal says.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manager_api::{ClientManager, ErrorKind, Incoming};
use manager_redis::{RedisManager, RedisOptions, TlsOptions};

use super::faults::{hasty, next};
use super::flavours::round_trip;
use super::server::{Server, free_port};

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
            ..TlsOptions::default()
        },
        ..hasty()
    };
    let anonymous = RedisManager::new(&url, options.clone()).unwrap();
    assert!(anonymous.publish("x".into()).await.is_err());
    options.tls.client_identity = Some((file("own.pem"), file("own.key")));
    round_trip(&RedisManager::new(&url, options).unwrap()).await;
}

/// Publishes and subscribes at `url` with default options: both are refused within a second, and say `text`.
async fn refused_saying(url: &str, kind: ErrorKind, text: &str) {
    let manager = RedisManager::new(url, RedisOptions::default()).unwrap();
    let begun = Instant::now();
    let published = manager.publish("x".into()).await.unwrap_err();
    let subscribed = manager.subscribe().await.unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "two refusals in {:?}",
        begun.elapsed()
    );
    for error in [published, subscribed] {
        assert_eq!(error.kind(), kind);
        assert!(
            error.to_string().contains(text) && error.to_string().contains("refuse"),
            "{error}"
        );
    }
    assert!(manager.health().num_refusals >= 2);
}

#[tokio::test]
async fn tls_where_there_is_none_and_the_reverse_are_named_with_the_scheme_to_take() {
    let server = tls_server("no").await;
    refused_saying(
        &format!("redis://127.0.0.1:{}", server.port),
        ErrorKind::Config,
        "connect by rediss://",
    )
    .await;
    let plain = Server::start().await;
    refused_saying(
        &format!("rediss://127.0.0.1:{}", plain.port),
        ErrorKind::Config,
        "connect by redis://",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_both_names_and_passes_by_tls_server_name() {
    let server = Server::new(free_port(), &TLS);
    let dir = server.dir.path();
    openssl(dir, &format!("{SELF_SIGNED} -addext subjectAltName=DNS:redis.internal"));
    server.restart().await;
    let url = format!("rediss://127.0.0.1:{}?ca={}/own.pem", server.port, dir.display());
    refused_saying(&url, ErrorKind::Connect, "is for redis.internal, not for 127.0.0.1").await;
    round_trip(&RedisManager::new(&format!("{url}&tls_server_name=redis.internal"), hasty()).unwrap()).await;
}

const TLS: [&str; 10] = [
    "--port",
    "0",
    "--tls-port",
    "{port}",
    "--tls-cert-file",
    "{dir}/own.pem",
    "--tls-key-file",
    "{dir}/own.key",
    "--tls-auth-clients",
    "no",
];
const SELF_SIGNED: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout own.key -out own.pem -subj /CN=127.0.0.1";

#[tokio::test]
async fn a_self_signed_certificate_given_as_ca_works() {
    let server = Server::new(free_port(), &TLS);
    let dir = server.dir.path();
    openssl(dir, SELF_SIGNED);
    server.restart().await;
    let url = format!("rediss://127.0.0.1:{}", server.port);
    round_trip(&RedisManager::new(&format!("{url}?ca={}/own.pem", dir.display()), hasty()).unwrap()).await;
    refused_saying(&url, ErrorKind::Connect, "as ca").await;
}

#[tokio::test]
async fn a_certificate_of_our_own_is_named_in_the_url() {
    let server = tls_server("yes").await;
    let dir = server.dir.path().display();
    let url = format!("rediss://127.0.0.1:{}?ca={dir}/ca.pem", server.port);
    refused_saying(&url, ErrorKind::Connect, "client_cert").await;
    let url = format!("{url}&client_cert={dir}/own.pem&client_key={dir}/own.key");
    round_trip(&RedisManager::new(&url, hasty()).unwrap()).await;
}
