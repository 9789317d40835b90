//! A stream that carries the messages in place of publish/subscribe.

use std::time::Duration;

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::process::Process;
use integration::{managers, tools};
use manager_api::replay::{Placed, Start};
use manager_api::{ClientManager, Emitter, ErrorKind, Incoming};
use manager_redis::{RedisManager, RedisOptions, StreamLog};
use tokio::process::Command;

use super::faults::{PATIENCE, expect_message, hasty};
use super::flavours::server_ok;
use super::server::Server;
use crate::served::Served;
use crate::support::placed::{NEW, expect_gap, expect_placed, next, read};
use crate::support::within;

/// Options with which every fault is noticed soon, and a stream that is looked at all the time.
fn options(log: StreamLog) -> RedisOptions {
    RedisOptions {
        log: Some(StreamLog {
            trim_interval: Duration::from_millis(20),
            ..log
        }),
        ..hasty()
    }
}

fn manager(server: &Server, log: StreamLog) -> RedisManager {
    RedisManager::new(&server.url(), options(log)).unwrap()
}

/// Waits until the stream has at most so many entries.
async fn until_len(server: &Server, max: usize) {
    within("the stream is trimmed", async {
        while server
            .command::<usize>(&redis::cmd("XLEN").arg("socketio").to_owned())
            .await
            .unwrap()
            > max
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_too_old_is_deleted_and_a_position_before_it_is_a_gap() {
    let server = Server::start().await;
    let keeping = manager(&server, StreamLog::default());
    let mut kept = read(&keeping, NEW).await;
    let mut positions = Vec::new();
    for message in ["a", "b", "c"] {
        keeping.publish(message.into()).await.unwrap();
        positions.push(expect_placed(&mut kept, message).await);
    }
    let max_age = Duration::from_millis(50);
    let trimming = manager(
        &server,
        StreamLog {
            max_age,
            ..StreamLog::default()
        },
    );
    let _reader = read(&trimming, NEW).await;
    until_len(&server, 0).await;
    let mut behind_the_last = read(&keeping, Start::After(positions[2])).await;
    let mut behind_the_first = read(&keeping, Start::After(positions[0])).await;
    keeping.publish("d".into()).await.unwrap();
    expect_placed(&mut behind_the_last, "d").await;
    let reason = expect_gap(&mut behind_the_first).await;
    assert!(reason.contains("trimmed"), "{reason}");
    expect_placed(&mut kept, "d").await;
    assert_eq!(keeping.health().num_gaps, 1);
}

#[tokio::test]
async fn the_number_of_messages_is_limited_also_without_a_subscriber() {
    let server = Server::start().await;
    let log = StreamLog {
        max_len: 100,
        ..StreamLog::default()
    };
    let manager = manager(&server, log);
    for number in 0..1000 {
        manager.publish(number.to_string().into()).await.unwrap();
    }
    until_len(&server, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_a_server_that_writes_everything_to_disk_loses_and_doubles_nothing() {
    let server = Server::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let (listener, publisher) = (
        manager(&server, StreamLog::default()),
        manager(&server, StreamLog::default()),
    );
    let mut subscription = listener.subscribe().await.unwrap();
    let mut accepted = Vec::new();
    for round in 0..3 {
        for number in round * 100..(round + 1) * 100 {
            match publisher.publish(format!("{number}").into()).await {
                Ok(()) => accepted.push(number),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        server.kill().await;
        server.restart().await;
    }
    super::faults::until_published(&publisher, "end").await;
    let mut received = Vec::<u32>::new();
    loop {
        match super::faults::next(&mut subscription).await {
            Incoming::Message(message) if message == "end" => break,
            Incoming::Message(message) => received.push(std::str::from_utf8(&message).unwrap().parse().unwrap()),
            unexpected => panic!("expected a message, got {unexpected:?}"),
        }
    }
    assert!(accepted.len() >= 300 - 3, "{} were accepted", accepted.len());
    let missing: Vec<_> = accepted.iter().filter(|number| !received.contains(number)).collect();
    assert!(missing.is_empty(), "lost without a gap: {missing:?}");
    assert!(received.is_sorted_by(|a, b| a < b), "each once, in order");
}

#[tokio::test]
async fn a_database_that_is_emptied_under_a_reader_is_another_log() {
    let server = Server::start().await;
    let manager = manager(&server, StreamLog::default());
    let mut reader = read(&manager, NEW).await;
    manager.publish("a".into()).await.unwrap();
    let old = expect_placed(&mut reader, "a").await;
    server_ok(&server, redis::cmd("FLUSHALL").to_owned().arg("SYNC")).await;
    expect_gap(&mut reader).await;
    manager.publish("b".into()).await.unwrap();
    let new = expect_placed(&mut reader, "b").await;
    assert_eq!(new.partial_cmp(&old), None, "it is another epoch");
    let mut behind_the_old = read(&manager, Start::After(old)).await;
    let reason = expect_gap(&mut behind_the_old).await;
    assert!(reason.contains("another stream"), "{reason}");
    assert_eq!(expect_placed(&mut behind_the_old, "b").await, new);
}

/// The stream is trimmed while the reader waits for its subscriber.
#[tokio::test]
async fn what_is_trimmed_before_a_slow_reader_comes_to_it_is_a_gap() {
    const COUNT: usize = 2000;
    let server = Server::start().await;
    let log = StreamLog {
        max_len: 100,
        ..StreamLog::default()
    };
    let publisher = manager(&server, log.clone());
    let mut slow = options(log);
    slow.common.max_buffered_bytes = 1000;
    let slow = RedisManager::new(&server.url(), slow).unwrap();
    let mut messages = read(&slow, NEW).await;
    for number in 0..COUNT {
        publisher.publish(number.to_string().into()).await.unwrap();
    }
    let (mut expected, mut num_missing, mut has_gap) = (0, 0, false);
    while expected < COUNT {
        match next(&mut messages).await {
            Incoming::Gap { .. } => has_gap = true,
            Incoming::Message(Placed { message, .. }) => {
                let number: usize = std::str::from_utf8(&message).unwrap().parse().unwrap();
                assert!(
                    number == expected || (has_gap && number > expected),
                    "{number} for {expected}"
                );
                num_missing += number - expected;
                (expected, has_gap) = (number + 1, false);
            }
            unexpected => panic!("{unexpected:?}"),
        }
    }
    assert!(num_missing > 0, "the reader was slower than the stream is trimmed");
}

#[tokio::test]
async fn a_reader_that_began_in_the_past_of_a_quiet_stream_goes_on_without_a_gap() {
    let server = Server::start().await;
    let manager = manager(&server, StreamLog::default());
    manager.publish("old".into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut reader = read(&manager, Start::Past(Duration::from_millis(1))).await;
    let others = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").to_owned();
    server.command::<redis::Value>(&others).await.unwrap();
    super::faults::until_published(&manager, "new").await;
    expect_placed(&mut reader, "new").await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_read_all_the_same() {
    let server = Server::start().await;
    let manager = manager(&server, StreamLog::default());
    let _first = read(&manager, NEW).await;
    manager.publish("a".into()).await.unwrap();
    let full = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").to_owned();
    server_ok(&server, &full).await;
    let error = manager.publish("b".into()).await.unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
    let mut reader = read(&manager, Start::Past(Duration::from_secs(60))).await;
    expect_placed(&mut reader, "a").await;
    assert_eq!(manager.health().num_refusals, 0);
}

#[tokio::test]
async fn an_entry_of_another_program_is_counted_and_passed_over() {
    let server = Server::start().await;
    let manager = manager(&server, StreamLog::default());
    let mut subscription = manager.subscribe().await.unwrap();
    let mut add = redis::cmd("XADD");
    add.arg("socketio").arg("*").arg("something").arg("else");
    server.command::<String>(&add).await.unwrap();
    manager.publish("a".into()).await.unwrap();
    expect_message(&mut subscription, "a").await;
    let health = manager.health();
    assert_eq!((health.num_foreign, health.num_gaps), (1, 0));
}

/// What a worker needs, and what a server needs beside it.
const WORKER: [&str; 1] = ["+xadd"];
const SERVER: [&str; 6] = ["+xinfo", "+set", "+get", "+xread", "+time", "+xtrim"];

/// Makes the user `me` with password `pw`, who has `rights` on the stream and its epoch.
async fn allow(server: &Server, rights: &[&str]) {
    let keys = ["resetchannels", "~socketio", "~{socketio}.epoch", "-@all"];
    let rules: Vec<_> = ["me", "reset", "on", ">pw"].iter().chain(&keys).chain(rights).collect();
    server_ok(server, redis::cmd("ACL").arg("SETUSER").arg(&rules)).await;
}

fn manager_of_me(server: &Server) -> RedisManager {
    let url = format!("redis+stream://me:pw@127.0.0.1:{}?max_age=1", server.port);
    RedisManager::new(&url, options(StreamLog::default())).unwrap()
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let server = Server::start().await;
    allow(&server, &WORKER).await;
    let worker = manager_of_me(&server);
    worker.publish("a".into()).await.unwrap();
    allow(&server, &[&WORKER[..], &SERVER].concat()).await;
    let manager = manager_of_me(&server);
    let mut subscription = manager.subscribe().await.unwrap();
    worker.publish("b".into()).await.unwrap();
    expect_message(&mut subscription, "b").await;
    // Also those for what is done from time to time.
    until_len(&server, 0).await;
    assert_eq!(manager.health().num_refusals, 0);
}

#[tokio::test]
async fn each_missing_right_is_named() {
    let server = Server::start().await;
    for missing in &SERVER[..5] {
        let rights: Vec<_> = SERVER.iter().copied().filter(|right| right != missing).collect();
        allow(&server, &rights).await;
        let manager = manager_of_me(&server);
        let why = match manager.subscribe().await {
            Err(error) => {
                assert!(error.is_refusal(), "{error}");
                error.to_string()
            }
            // It is needed later; health tells, and the reader tries again.
            Ok(_subscription) => refusal(&manager).await,
        };
        assert!(why.contains(&format!("lacks the right {missing}")), "{why}");
    }
    // Without the last one a stream is not trimmed by its age, and is read all the same.
    allow(&server, &[&WORKER[..], &SERVER[..5]].concat()).await;
    let manager = manager_of_me(&server);
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("a".into()).await.unwrap();
    expect_message(&mut subscription, "a").await;
}

/// Waits until the broker has refused something to a manager that runs, and returns the reason.
async fn refusal(manager: &RedisManager) -> String {
    within("it is refused", async {
        while manager.health().num_refusals == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    manager.health().last_error.expect("it was refused").1
}

#[tokio::test]
async fn a_key_that_is_no_stream_and_a_database_that_is_not_selected_are_refused() {
    let server = Server::start().await;
    server_ok(&server, redis::cmd("SET").to_owned().arg("socketio").arg("text")).await;
    let manager = manager(&server, StreamLog::default());
    for error in [
        manager.publish("a".into()).await.unwrap_err(),
        manager.subscribe().await.map(drop).unwrap_err(),
    ] {
        assert!(
            error.is_refusal() && error.to_string().contains("is not a stream"),
            "{error}"
        );
    }
    let error = RedisManager::new("redis+stream://h/3", RedisOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("database 0"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_and_a_worker_over_a_stream_and_sio_listen_tells_what_has_passed() {
    let shared = RedisBroker::shared().await;
    let url = shared.url().replacen("redis://", "redis+stream://", 1);
    let channel = unique_channel();
    let (one, other) = tokio::join!(
        Served::start_on_channel(&url, &channel),
        Served::start_on_channel(&url, &channel)
    );
    let mut clients = Vec::new();
    for server in [&one, &other] {
        clients.push(RealClient::connected(Kind::Node, &ConnectOptions::to(&server.url()).only("websocket")).await);
    }
    let emitter = Emitter::new(managers::on_channel(&url, &channel));
    emitter.broadcast().emit("first", &1).await.unwrap();
    one.io.broadcast().emit("second", &2).await.unwrap();
    for client in &mut clients {
        let mut names = [
            client.next_message(PATIENCE).await.name,
            client.next_message(PATIENCE).await.name,
        ];
        names.sort();
        assert_eq!(names, ["first", "second"]);
    }
    for (url, code) in [(&*url, 0), (shared.url(), 2)] {
        let mut listen = Command::new(tools::sio());
        listen.args(["listen", "--since", "1h", "--json", "--event", "first", "--count", "1"]);
        listen.args(["--url", url, "--channel", &channel, "--timeout", "60"]);
        let mut listen = Process::spawn("sio listen", listen);
        let said = listen.next_line(integration::DEADLINE).await.unwrap_or_default();
        let status = listen.wait(integration::DEADLINE).await;
        assert_eq!(status.code(), Some(code), "{}", listen.stderr());
        match code {
            0 => assert!(said.contains("\"first\""), "{said}"),
            _ => assert!(listen.stderr().contains("redis+stream://"), "{}", listen.stderr()),
        }
    }
}
