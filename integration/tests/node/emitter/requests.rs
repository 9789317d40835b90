//! Acknowledgements of clients, and what servers report of an event.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use integration::DEADLINE;
use integration::client::RealClient;
use integration::driven::binary;
use serde_json::{Value, json};

use crate::node::fleet::Fleet;

super::on_every_wire! {
    clients_acknowledge,
    a_report_counts_those_who_do_not_acknowledge,
    a_receipt_counts_the_clients_of_each_server,
}

/// What clients have who do not acknowledge, and within which others must have done so.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn clients_acknowledge(mut fleet: Fleet) {
    let emitter = fleet.emitter.clone();
    let all = emitter.broadcast().timeout(DEADLINE);
    let acks = all.clone().emit_with_ack("question", &(1, "two")).await.unwrap();
    for client in &mut fleet.clients {
        let message = client.next_message(DEADLINE).await;
        assert_eq!(Value::from(message.args), json!([1, "two"]));
        client.ack(message.ack.unwrap(), json!([{ "yes": true }])).await;
    }
    let acks = acks.count(2).all().await.unwrap();
    for ack in &acks {
        assert_eq!(ack.payload.parse::<Value>().unwrap(), json!({ "yes": true }));
        // Node does not say whose it is.
        assert_eq!(ack.client, None);
    }
    assert_eq!(acks.len(), 2);

    let bytes = Bytes::from_static(b"\x00\xff");
    let acks = emitter.to(&*fleet.ids[1]).timeout(DEADLINE);
    let acks = acks.emit_with_ack("bytes", &bytes).await.unwrap();
    let message = fleet.clients[1].next_message(DEADLINE).await;
    assert_eq!(Value::from(message.args), json!([binary(&bytes)]));
    fleet.clients[1]
        .ack(message.ack.unwrap(), json!([binary(&bytes)]))
        .await;
    assert_eq!(acks.one::<Bytes>().await.unwrap(), bytes);

    let acks = all.emit_with_ack("nothing", &()).await.unwrap();
    answer(&mut fleet.clients, json!([])).await;
    let acks = acks.count(2).all().await.unwrap();
    assert!(
        acks.iter().all(|ack| matches!(ack.payload.json(), "[]" | "[null]")),
        "{acks:?}"
    );
}

/// Acknowledges the next event of each client.
async fn answer(clients: &mut [RealClient], args: Value) {
    join_all(clients.iter_mut().map(async |client| {
        let message = client.next_message(DEADLINE).await;
        client.ack(message.ack.unwrap(), args.clone()).await;
    }))
    .await;
}

async fn a_report_counts_those_who_do_not_acknowledge(mut fleet: Fleet) {
    let all = fleet.emitter.broadcast();
    let asked = all.clone().timeout(DEADLINE).emit_and_collect("all do", &());
    let (report, ()) = tokio::join!(asked, answer(&mut fleet.clients, json!([1])));
    let report = report.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.acks.len(), 2);

    let asked = all.clone().timeout(PATIENCE).emit_and_collect("one does", &());
    let (report, ()) = tokio::join!(asked, answer(&mut fleet.clients[..1], json!([1])));
    let report = report.unwrap();
    assert_eq!((report.acks.len(), report.num_missing_unnamed), (1, 1), "{report:?}");
    assert!(!report.is_complete());
    assert!(
        report.missing_servers.is_empty() && report.failure.is_none(),
        "{report:?}"
    );

    // No client is asked, which is known at once.
    let asked = fleet
        .emitter
        .to("nowhere")
        .timeout(DEADLINE)
        .emit_and_collect("nowhere", &());
    let report = asked.await.unwrap();
    assert!(report.is_complete() && report.acks.is_empty(), "{report:?}");
}

async fn a_receipt_counts_the_clients_of_each_server(mut fleet: Fleet) {
    fleet.join(0, &[json!("a")]).await;
    let all = fleet.emitter.broadcast().timeout(DEADLINE);
    let receipt = all.clone().emit_with_receipt("everyone", &1).await.unwrap();
    let counts: Vec<_> = receipt.servers.iter().map(|server| server.clients).collect();
    assert_eq!((counts, receipt.missing_servers.len()), (vec![1, 1], 0));

    let receipt = all
        .clone()
        .to("a")
        .emit_with_receipt("a", &Bytes::from_static(b"x"))
        .await
        .unwrap();
    let mut counts: Vec<_> = receipt.servers.iter().map(|server| server.clients).collect();
    counts.sort_unstable();
    assert_eq!((counts, receipt.num_clients()), (vec![0, 1], 1));

    let receipt = all.to("nowhere").emit_with_receipt("nowhere", &()).await.unwrap();
    assert_eq!((receipt.servers.len(), receipt.num_clients()), (2, 0));

    // By the same way as those with a receipt.
    let receipt = fleet.emitter.broadcast().emit_with_receipt("end", &()).await.unwrap();
    assert_eq!(receipt.num_clients(), 2);
    for (client, expected) in fleet.clients.iter_mut().zip([&["everyone", "a"][..], &["everyone"]]) {
        let messages = client.messages_before("end").await;
        let names: Vec<_> = messages.iter().map(|message| &*message.name).collect();
        assert_eq!(names, expected);
    }
}
