//! Emitters that come and go: they never count as servers.

use futures_util::future::join_all;
use integration::DEADLINE;
use integration::client::RealClient;
use integration::node::{NodeServer, Target};
use manager_api::Emitter;
use serde_json::json;
use tokio::sync::watch;

use crate::node::fleet::{Fleet, Wire};

super::on_every_wire! { servers_are_not_disturbed_by_emitters_that_come_and_go }

const NUM_EMITTERS: usize = 50;
/// Those that come together instead.
const NUM_AT_ONCE: usize = 10;

async fn servers_are_not_disturbed_by_emitters_that_come_and_go(fleet: Fleet) {
    let emitters: Vec<_> = (0..NUM_EMITTERS).map(|_| fleet.another_emitter()).collect();
    let (done, is_done) = watch::channel(false);
    let is_known_late = fleet.wire == Wire::Postgres;
    let visits = async {
        match is_known_late {
            // Each waits for the heartbeats of the servers first, and has two connections.
            true => drop(join_all(emitters.into_iter().take(NUM_AT_ONCE).map(visit)).await),
            false => {
                for emitter in emitters {
                    visit(emitter).await;
                }
            }
        }
        done.send_replace(true);
    };
    let [one, _two] = fleet.servers;
    let [ada, bob] = fleet.clients;
    let rounds = async { tokio::join!(visits, asks(one, is_done)) };
    tokio::select! {
        ((), ()) = rounds => {}
        () = answers(ada) => {}
        () = answers(bob) => {}
    }
}

/// Asks, and goes while clients may still respond.
async fn visit(emitter: Emitter) {
    let all = emitter.broadcast().timeout(DEADLINE);
    let found = all.clone().count_sockets().await.unwrap();
    assert_eq!((found.found, found.num_servers), (2, 2));
    let responses = emitter.server_side_call("ask", &1, DEADLINE).await.unwrap();
    assert_eq!((responses.num_servers, responses.missing_servers.len()), (2, 0));
    drop(all.emit_with_ack("asked and gone", &()).await.unwrap());
    emitter.close().await.unwrap();
}

/// A server that asks the others and all clients again and again, and always gets every response.
async fn asks(mut server: NodeServer, is_done: watch::Receiver<bool>) {
    let all = Target::all("/");
    let mut rounds = 0;
    while !*is_done.borrow() || rounds < 3 {
        assert_eq!(server.fetch_sockets(&all).await.len(), 2);
        let asked = server.server_side_emit_with_ack("/", "ask", json!([1])).await;
        assert_eq!((asked.responses, asked.error), (vec![json!(1)], None));
        let asked = server.emit_with_ack(&all, "question", json!([]), DEADLINE).await;
        assert_eq!((asked.responses, asked.error), (vec![json!("yes"), json!("yes")], None));
        rounds += 1;
    }
}

/// A client that acknowledges what its server asks; never completes.
async fn answers(mut client: RealClient) {
    loop {
        let message = client.next_message(DEADLINE).await;
        if let Some(ack) = message.ack.filter(|_| message.name == "question") {
            client.ack(ack, json!(["yes"])).await;
        }
    }
}
