//! Emits inside transactions: what was rolled back never reaches a client, what was committed always does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use integration::brokers::postgres::{PostgresBroker, ask};
use integration::brokers::unique_channel;
use integration::{DEADLINE, managers};
use manager_api::{ClientManager, Incoming};
use serde_json::{Value, json};
use socket_io::SocketIo;
use tokio::time::{Instant, sleep, timeout};

use super::{manager, next_text};
use crate::support::{Client, Server, within};

/// The statements that emit on a channel.
fn emitting(channel: &str, statements: &str) -> String {
    format!("SET sio.channel = '{channel}'; {statements}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_emitted_when_its_transaction_commits_and_never_if_it_is_rolled_back() {
    let url = PostgresBroker::shared().await.url();
    let channel = unique_channel();
    let listener = manager(url, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    let say = |statements: &str| emitting(&channel, statements);
    ask(url, &say("BEGIN; SELECT sio_emit('r', 'no'); ROLLBACK"))
        .await
        .unwrap();
    ask(url, &say("BEGIN; SELECT sio_emit('r', 'no'); SELECT 1/0"))
        .await
        .unwrap_err();
    let partly = "BEGIN; SELECT sio_emit('r', 'first', '1'); SAVEPOINT s; SELECT sio_emit('r', 'no'); ROLLBACK TO s; \
                  SELECT sio_emit('r', 'second', '{\"a\": [1.5, null]}', '\"text\"'); COMMIT";
    ask(url, &say(partly)).await.unwrap();
    for (event, data) in [("first", json!([1])), ("second", json!([{"a": [1.5, null]}, "text"]))] {
        let message: Value = serde_json::from_str(&next_text(&mut subscription).await).unwrap();
        assert_eq!((&message["event"], &message["data"]), (&json!(event), &data));
        assert_eq!((&message["method"], &message["room"]), (&json!("emit"), &json!("r")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_receive_what_a_database_emits_to_their_room_their_namespace_and_to_all() {
    let url = PostgresBroker::shared().await.url();
    let channel = unique_channel();
    let builder = SocketIo::builder().manager(managers::on_channel(url, &channel));
    let server = Server::start(builder).await;
    let client = Client::connect(server.address, &["room"]).await.read();
    let events = [
        "SELECT sio_emit('elsewhere', 'm', '\"db\"', '0', '\"\"')",
        "SELECT sio_emit_in('/other', NULL, 'm', '\"db\"', '1', '\"\"')",
        "SELECT sio_emit('room', 'm', '\"db\"', '2', '\"\"')",
        "SELECT sio_emit(NULL, 'm', '\"db\"', '3', '\"\"')",
        "SELECT sio_publish(current_setting('sio.channel'), '{\"method\": \"emit\", \"event\": \"m\", \"data\": [\"db\", 4, \"\"], \
         \"namespace\": \"/\", \"room\": null}')",
        "SELECT sio_emit('room', 'end')",
    ];
    for event in events {
        ask(url, &emitting(&channel, event)).await.unwrap();
    }
    assert_eq!(client.finish().await, [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_client_could_be_sent_fails_its_statement() {
    let url = PostgresBroker::shared().await.url();
    for (call, said) in [
        ("sio_emit('r', 'connect')", "reserved"),
        ("sio_emit('r', NULL)", "no name"),
        ("sio_emit('', 'x')", "NULL is all clients"),
        ("sio_emit('r', 'x', NULL::jsonb)", "an argument is NULL"),
        ("sio_emit_in('chat', 'r', 'x')", "slash"),
    ] {
        let refused = ask(url, &format!("SELECT {call}")).await.unwrap_err();
        assert!(refused.contains(said), "{call}: {refused}");
    }
}

/// A transaction that writes first and commits last is read all the same, and holds up no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_takes_long_is_read_and_delays_no_other() {
    let url = PostgresBroker::shared().await.url();
    let channel = unique_channel();
    let before = Held::begin(url, &channel, "early").await;
    let listener = manager(url, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    let during = Held::begin(url, &channel, "late").await;
    for number in 0..3 {
        listener.publish(number.to_string().into()).await.unwrap();
        assert_eq!(next_text(&mut subscription).await, number.to_string());
    }
    during.end("COMMIT").await;
    assert!(next_text(&mut subscription).await.contains("late"));
    before.end("COMMIT").await;
    assert!(next_text(&mut subscription).await.contains("early"));
}

/// A transaction that has emitted and not ended.
struct Held {
    client: tokio_postgres::Client,
}

impl Held {
    async fn begin(url: &str, channel: &str, event: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let statements = emitting(channel, &format!("BEGIN; SELECT sio_emit('r', '{event}')"));
        client.batch_execute(&statements).await.unwrap();
        Self { client }
    }

    async fn end(self, how: &str) {
        self.client.batch_execute(how).await.unwrap();
    }
}

/// How many transactions of each outcome: `SIO_TEST_REPEATS`, or what a CI run has time for.
fn num_transactions() -> u64 {
    let given = std::env::var("SIO_TEST_REPEATS")
        .ok()
        .and_then(|count| count.parse().ok());
    given.unwrap_or(200)
}

/// Commits and rolls back in turn, at several connections at once, and repeats what failed with its connection until it
/// is known to be committed: by a row in the same transaction.
async fn transact(url: &str, channel: &str, numbers: Vec<u64>) {
    for number in numbers {
        let rolled_back =
            format!("BEGIN; INSERT INTO done VALUES (-{number}); SELECT sio_emit('r', 'no', '{number}'); ROLLBACK");
        let committed =
            format!("BEGIN; INSERT INTO done VALUES ({number}); SELECT sio_emit('r', 'yes', '{number}'); COMMIT");
        while ask(url, &emitting(channel, &rolled_back)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        // A second attempt violates the key if the first one was committed without saying so.
        loop {
            match ask(url, &emitting(channel, &committed)).await {
                Ok(_) => break,
                Err(error) if error.contains("duplicate key") => break,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rolled_back_event_leaks_and_no_committed_one_is_lost_while_servers_and_database_restart() {
    const WRITERS: u64 = 4;
    let count = num_transactions();
    let mut broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    ask(&url, "CREATE TABLE done (number bigint PRIMARY KEY)")
        .await
        .unwrap();
    // One listener that stays, and one whose server is restarted again and again.
    let staying = manager(&url, &channel);
    let mut subscription = staying.subscribe().await.unwrap();
    let is_over = AtomicBool::new(false);
    let writers = async {
        let of_writer = |writer| (1..=count).filter(move |number| number % WRITERS == writer).collect();
        let each = (0..WRITERS).map(|writer| transact(&url, &channel, of_writer(writer)));
        futures_util::future::join_all(each).await;
        is_over.store(true, Ordering::SeqCst);
    };
    let restarts = async {
        let mut num_restarts = 0;
        while !is_over.load(Ordering::SeqCst) || num_restarts == 0 {
            sleep(Duration::from_millis(300)).await;
            // Killed, as by a crash; or ended by an operator.
            broker.kill();
            broker.restart().await;
            num_restarts += 1;
        }
        num_restarts
    };
    let servers = async {
        let mut num_servers = 0;
        while !is_over.load(Ordering::SeqCst) || num_servers == 0 {
            let server = manager(&url, &channel);
            if let Ok(mut subscription) = server.subscribe().await {
                let _ = timeout(Duration::from_millis(200), subscription.recv()).await;
            }
            let _ = server.close().await;
            num_servers += 1;
        }
        num_servers
    };
    let begun = Instant::now();
    let (account, (), num_restarts, num_servers) =
        tokio::join!(received(&mut subscription, count), writers, restarts, servers);
    eprintln!(
        "{count} committed and {count} rolled back in {:?}, with {num_restarts} restarts of the database and {num_servers} of a server",
        begun.elapsed()
    );
    assert_eq!(account.doubled, Vec::<u64>::new(), "doubled");
    assert_eq!(account.leaked, Vec::<u64>::new(), "leaked");
    assert_eq!(account.seen.len() as u64, count);
    assert_eq!(account.gaps, Vec::<String>::new());
}

/// What a listener received.
#[derive(Default)]
struct Account {
    seen: BTreeSet<u64>,
    doubled: Vec<u64>,
    leaked: Vec<u64>,
    gaps: Vec<String>,
}

/// Receives until all that was committed has come.
async fn received(subscription: &mut manager_api::Subscription, count: u64) -> Account {
    let mut account = Account::default();
    while (account.seen.len() as u64) < count {
        let incoming = timeout(5 * DEADLINE, subscription.recv()).await;
        match incoming {
            Ok(Some(Incoming::Message(message))) => {
                let message: Value = serde_json::from_slice(&message).unwrap();
                let number = message["data"][0].as_u64().unwrap();
                match message["event"] == "yes" {
                    true if account.seen.insert(number) => {}
                    true => account.doubled.push(number),
                    false => account.leaked.push(number),
                }
            }
            Ok(Some(Incoming::Gap { reason })) => account.gaps.push(reason),
            other => panic!("{other:?} after {} of {count}", account.seen.len()),
        }
    }
    account
}

/// Every server is away, its position with it; the one that stays away for a while does not lose its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_while_a_server_was_cut_off_is_received_without_a_gap() {
    let url = PostgresBroker::shared().await.url();
    let channel = unique_channel();
    let (proxy, through) = integration::proxy::TcpProxy::before(url).await;
    let listener = manager(&through, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    for round in 0..3 {
        proxy.cut().await;
        for number in 0..200 {
            let emit = format!("SELECT sio_emit('r', 'e', '{number}')");
            ask(url, &emitting(&channel, &emit)).await.unwrap();
        }
        proxy.restore();
        for number in 0..200 {
            let message: Value = serde_json::from_str(&next_text(&mut subscription).await).unwrap();
            assert_eq!(message["data"], json!([number]), "round {round}");
        }
    }
    let publishing = manager(url, &channel);
    within("the last", publishing.publish("end".into())).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "end");
    assert_eq!(listener.health().num_gaps, 0);
}
