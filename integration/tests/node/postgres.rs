//! What only the wire of `@socket.io/postgres-adapter` has: notifications of strangers, attachments, sizes, gaps.

use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::postgres::ask;
use integration::brokers::unique_channel;
use integration::node::{NodeAdapter, NodeOptions, NodeServer, Target, wire};
use integration::proxy::TcpProxy;
use serde_json::{Value, json};
use socket_io::SocketIo;
use tokio::time::sleep;

use super::member::{connected, start};
use crate::support::{eventually, within};

const ADAPTER: NodeAdapter = NodeAdapter::Postgres;

/// Notifies on the channel of `/`, as any program may.
async fn notify(url: &str, prefix: &str, text: &str) {
    ask(url, &format!("SELECT pg_notify('{prefix}#/', '{text}')"))
        .await
        .unwrap();
}

fn hub(io: &SocketIo) -> (u64, u64) {
    let hub = io.metrics().hub;
    (hub.undecodable, hub.gaps)
}

#[tokio::test]
async fn what_strangers_notify_is_counted_and_an_attachment_that_is_gone_is_a_gap() {
    let (url, prefix) = (ADAPTER.shared_url().await, unique_channel());
    let mut node = NodeServer::start(ADAPTER, url, &NodeOptions::on(&prefix)).await;
    let (ours, address) = start(url, wire(ADAPTER, &prefix)).await;
    node.until_server_count("/", 2).await;
    for stranger in [
        "",
        "hello",
        "{}",
        "[1]",
        "{\"uid\":\"x\",\"nsp\":\"/\"}",
        "{\"type\":3,\"attachmentId\":\"x\"}",
    ] {
        notify(url, &prefix, stranger).await;
    }
    eventually("counted", || hub(&ours) == (6, 0)).await;
    notify(url, &prefix, "{\"uid\":\"x\",\"type\":3,\"attachmentId\":\"0\"}").await;
    eventually("a gap", || hub(&ours) == (6, 1)).await;
    // Both servers go on.
    let mut client = connected(&address).await;
    node.emit(&Target::all("/chat"), "later", json!([])).await;
    assert_eq!(client.next_message(DEADLINE).await.name, "later");
}

/// Bytes of an event `ev` to everyone in `/chat` whose only argument is an empty text.
fn frame() -> usize {
    let opts = json!({ "rooms": [], "except": [], "flags": {} });
    let packet = json!({ "type": 2, "data": ["ev", ""] });
    let message =
        json!({ "type": 3, "data": { "packet": packet, "opts": opts }, "uid": "0123456789abcdef", "nsp": "/chat" });
    message.to_string().len()
}

/// A notification holds less than 8,000 bytes; the adapter tries to put exactly 8,000 into one, which fails there.
#[tokio::test]
async fn events_of_any_size_around_the_limit_of_a_notification_arrive() {
    let (url, prefix) = (ADAPTER.shared_url().await, unique_channel());
    let table = format!("\"Attachments of {prefix}\"");
    let columns = "id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea";
    ask(url, &format!("CREATE TABLE {table} ({columns})")).await.unwrap();
    let mut options = NodeOptions::on(&prefix);
    options.more = json!({ "tableName": table });
    let mut node = NodeServer::start(ADAPTER, url, &options).await;
    let (ours, address) = start(url, wire(ADAPTER, &prefix).table(&*table)).await;
    let [mut of_node, mut of_ours] = [connected(node.url()).await, connected(&address).await];
    node.until_server_count("/chat", 2).await;
    let mut rows = 0;
    for (len, attached) in [(7_998, 0), (7_999, 0), (8_000, 1), (8_001, 1), (100_000, 1)] {
        let text = "x".repeat(len - frame());
        ours.namespace("/chat").emit("ev", &text).await.unwrap();
        rows += attached;
        if len != 8_000 {
            node.emit(&Target::all("/chat"), "ev", json!([text])).await;
            rows += attached;
        }
        let times = if len == 8_000 { 1 } else { 2 };
        for client in [&mut of_node, &mut of_ours] {
            for _ in 0..times {
                let message = client.next_message(DEADLINE).await;
                assert_eq!(Value::from(message.args), json!([text]), "{len}");
            }
        }
        let stored = ask(url, &format!("SELECT count(*) FROM {table}")).await.unwrap();
        assert_eq!(stored, [[rows.to_string()]], "{len}");
    }
    assert_eq!(hub(&ours), (0, 0));
}

#[tokio::test]
async fn a_server_of_ours_deletes_old_attachments_as_those_of_node_do() {
    let (url, prefix) = (ADAPTER.shared_url().await, unique_channel());
    let table = format!("old_{}", prefix.replace('-', "_"));
    let columns = "id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea";
    let rows = "('x', now() - interval '1 min'), ('y', now() + interval '1 h')";
    let insert = format!("INSERT INTO {table} (payload, created_at) VALUES {rows}");
    ask(url, &format!("CREATE TABLE {table} ({columns}); {insert}"))
        .await
        .unwrap();
    let wire = wire(ADAPTER, &prefix).table(&*table);
    let (_ours, _) = start(url, wire.cleanup_interval(Duration::from_millis(100))).await;
    let left = async {
        while ask(url, &format!("SELECT payload FROM {table}")).await.unwrap() != [["\\x79"]] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within("the old one is deleted", left).await;
}

/// Nothing bridges it: notifications are kept for no one.
#[tokio::test]
async fn a_lost_connection_is_a_gap_and_events_arrive_again() {
    let (url, prefix) = (ADAPTER.shared_url().await, unique_channel());
    let (proxy, through) = TcpProxy::before(url).await;
    let mut node = NodeServer::start(ADAPTER, url, &NodeOptions::on(&prefix)).await;
    let (ours, address) = start(&through, wire(ADAPTER, &prefix)).await;
    let mut client = connected(&address).await;
    node.until_server_count("/chat", 2).await;
    proxy.cut().await;
    node.emit(&Target::all("/chat"), "missed", json!([])).await;
    proxy.restore();
    eventually("a gap in each namespace", || hub(&ours).1 == 2).await;
    node.emit(&Target::all("/chat"), "later", json!([])).await;
    assert_eq!(client.next_message(DEADLINE).await.name, "later");
}
