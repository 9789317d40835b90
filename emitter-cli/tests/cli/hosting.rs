//! `sio serve` for operators: addresses that others reach, Unix sockets, drain, limits.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::serve::{address, serving_with};
use crate::support::{Broker, Client, Sio, dead_url, http_get};

const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

#[tokio::test]
async fn an_address_that_others_reach_needs_to_be_said_open() {
    let done = Sio::new(&["serve", "--listen", "0.0.0.0:0"])
        .url(&dead_url())
        .run("")
        .await;
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(
        done.stderr.contains("--listen: ") && done.stderr.contains("--open"),
        "{}",
        done.stderr
    );

    let broker = Broker::start().await;
    let mut server = Sio::new(&["serve", "--listen", "0.0.0.0:0", "--open"])
        .url(&broker.url)
        .start();
    let said = server.error_line().await;
    assert!(said.contains("anybody may join any room"), "{said}");
    let mut printed = String::new();
    while !printed.contains("access") {
        printed.push_str(&server.line().await);
    }
    assert!(printed.contains("anybody may join any room (--open)"), "{printed}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_served_and_removed() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sio.sock");
    let listen = format!("unix:{}", path.display());
    let mut server = Sio::new(&["serve", "--listen", &listen]).url(&broker.url).start();
    assert!(server.line().await.contains(&listen));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = format!("GET {HANDSHAKE} HTTP/1.1\r\nHost: sio\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("pingInterval"),
        "{answer}"
    );
    server.signal("TERM").await;
    assert_eq!(server.finish().await.code, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_server_that_drains_refuses_new_clients_and_closes_the_others_one_after_the_other() {
    const CLIENTS: u32 = 20;
    let broker = Broker::start().await;
    let (server, addr) = serving_with(&broker.url, &["--drain", "20s"]).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&addr, "").await);
    }
    let begun = std::time::Instant::now();
    server.signal("TERM").await;
    let refused = loop {
        let answer = http_get(&addr, HANDSHAKE).await;
        if answer.starts_with("HTTP/1.1 503") {
            break answer.to_lowercase();
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    assert!(refused.contains("\r\nretry-after: "), "{refused}");
    for client in clients {
        client.closed().await;
    }
    let done = server.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    // A tenth of a second for each, where that is less than the time that was given.
    let least = Duration::from_millis(100) * (CLIENTS - 2);
    assert!(begun.elapsed() > least, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let broker = Broker::start().await;
    let (server, addr) = serving_with(&broker.url, &["--drain", "1h"]).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(Client::connect(&addr, "").await);
    }
    server.signal("TERM").await;
    while !http_get(&addr, HANDSHAKE).await.starts_with("HTTP/1.1 503") {}
    server.signal("TERM").await;
    let done = server.finish().await;
    assert_eq!(done.code, 143, "{}", done.stderr);
    assert!(done.stderr.contains("ended at once"), "{}", done.stderr);
}

#[tokio::test]
async fn limits_of_the_command_line_are_those_of_the_server() {
    let broker = Broker::start().await;
    let options = [
        "--max-handshakes-per-address",
        "2",
        "--max-rooms",
        "1",
        "--path",
        "/chat",
        "--page=false",
    ];
    let (_server, addr) = serving_with(&broker.url, &options).await;
    assert!(http_get(&addr, "/").await.starts_with("HTTP/1.1 404"));
    assert!(http_get(&addr, HANDSHAKE).await.starts_with("HTTP/1.1 404"));
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(http_get(&addr, "/chat/?EIO=4&transport=polling").await);
    }
    assert!(answers[0].starts_with("HTTP/1.1 200"), "{}", answers[0]);
    assert!(
        answers.iter().any(|answer| answer.starts_with("HTTP/1.1 503")),
        "{answers:?}"
    );
}

#[tokio::test]
async fn clients_publish_into_rooms_where_that_is_allowed() {
    let broker = Broker::start().await;
    let (_server, addr) = serving_with(&broker.url, &["-n", "/chat"]).await;
    let (mut one, mut other) = (
        Client::connect(&addr, "&room=r").await,
        Client::connect(&addr, "&room=r").await,
    );
    one.send("420[\"rights\"]").await;
    one.expect("430[{\"join\":[\"*\"],\"namespaces\":[\"/\",\"/chat\"],\"publish\":[\"*\"]}]")
        .await;
    one.send("421[\"publish\",\"r\",\"said\",{\"a\":1},2]").await;
    other.expect("42[\"said\",{\"a\":1},2]").await;
    one.expect("431[\"ok\"]").await;
    one.send("422[\"publish\",\"r\",\"disconnect\"]").await;
    assert!(one.next().await.contains("reserved"));
    one.send("423[\"publish\",7]").await;
    assert!(one.next().await.contains("expected a room"));

    let (_server, addr) = serving_with(&broker.url, &["--publish=false"]).await;
    let mut client = Client::connect(&addr, "&room=r").await;
    client.send("420[\"publish\",\"r\",\"said\"]").await;
    client.expect("430[\"not allowed\"]").await;
}

#[tokio::test]
async fn files_of_a_folder_are_served_beside_the_page() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "good morning").unwrap();
    let mut server = Sio::new(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--static",
        folder.path().to_str().unwrap(),
    ])
    .url(&broker.url)
    .start();
    let addr = address(&mut server).await;
    assert!(http_get(&addr, "/hello.txt").await.ends_with("good morning"));
    assert!(http_get(&addr, "/").await.contains("<title>sio"));
    assert!(http_get(&addr, "/../Cargo.toml").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn the_admin_ui_is_for_those_who_know_the_password_of_its_file() {
    let broker = Broker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let mut server = Sio::new(&["serve", "--listen", "127.0.0.1:0", "--admin-ui"])
        .env("SIO_ADMIN_UI_PASSWORD_FILE", file.to_str().unwrap())
        .url(&broker.url)
        .start();
    let addr = address(&mut server).await;
    let mut client = Client::connect(&addr, "").await;
    client
        .send("40/admin,{\"username\":\"admin\",\"password\":\"wrong\"}")
        .await;
    assert!(client.next().await.starts_with("44/admin,"));
    client
        .send("40/admin,{\"username\":\"admin\",\"password\":\"hunter2\"}")
        .await;
    assert!(client.next().await.starts_with("40/admin,"));
}
