//! Faults with the same outcome on every broker: undecodable and very large messages, listeners that do not keep up.

use bytes::Bytes;
use integration::brokers::unique_channel;
use integration::process::Process;
use integration::{DEADLINE, managers, tools};
use manager_api::{ClientManager, Emitter, ErrorKind, Incoming, ManagerOptions, Subscription};
use serde_json::Value;
use socket_io::SocketIo;
use tokio::process::Command;
use tokio::time::timeout;

use super::{ROOM, emit_all, end};
use crate::support::{Client, Server, eventually, on_every_broker, within};

on_every_broker! {
    what_cannot_be_decoded_is_counted_and_passed_over,
    a_message_of_33_megabytes_passes_or_is_admitted_and_harms_no_other,
    a_listener_slower_than_the_stream_holds_little_and_is_not_deaf,
}

async fn what_cannot_be_decoded_is_counted_and_passed_over(url: &str) {
    let channel = unique_channel();
    let builder = SocketIo::builder().manager(managers::on_channel(url, &channel));
    let server = Server::start(builder).await;
    let client = Client::connect(server.address, &[ROOM]).await.read();
    let nonsense: [&[u8]; 7] = [
        // As python-socketio before 5.14 wrote: {'method': 'emit', 'event': 'm'}, pickled.
        b"\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94(\x8c\x06method\x94\x8c\x04emit\x94\x8c\x05event\x94\x8c\x01m\x94u.",
        b"",
        b"\xff\xfe",
        b"null",
        b"{\"event\":\"m\"}",
        b"{\"method\":\"emit\"}",
        b"{\"method\":\"emit\",\"event\":\"m\",\"data\":[[[[",
    ];
    let emitter = Emitter::new(managers::on_channel(url, &channel));
    for (number, body) in nonsense.iter().enumerate() {
        let number = number as u64;
        emitter.manager().publish(body.to_vec().into()).await.unwrap();
        emit_all(&emitter, number..number + 1, "").await;
    }
    end(&emitter).await;
    assert_eq!(client.finish().await, (0..nonsense.len() as u64).collect::<Vec<_>>());
    let metrics = server.io.metrics().hub;
    assert_eq!(
        (metrics.undecodable, metrics.gaps, metrics.panics),
        (nonsense.len() as u64, 0, 0)
    );
}

/// Over the limit of the one who sends it, of one who receives it, and on Redis of the broker for one subscriber.
async fn a_message_of_33_megabytes_passes_or_is_admitted_and_harms_no_other(url: &str) {
    const LEN: usize = 33 << 20;
    let common = ManagerOptions {
        channel: unique_channel(),
        ..ManagerOptions::default()
    };
    let generous = ManagerOptions {
        max_message_bytes: 40 << 20,
        max_buffered_bytes: 64 << 20,
        deadline: 3 * DEADLINE,
        ..common.clone()
    };
    // First: a topic of Kafka is made for the largest message of the process that creates it.
    let large = managers::manager(url, generous.clone());
    let mut whole = large.subscribe().await.unwrap();
    let small = managers::manager(url, common);
    let mut parts = small.subscribe().await.unwrap();
    let big = Bytes::from(vec![b'x'; LEN]);
    let refused = small.publish(big.clone()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::TooLarge, false));

    managers::manager(url, generous).publish(big.clone()).await.unwrap();
    let at_whole = what_precedes_the_end(&*large, &mut whole).await;
    let at_parts = what_precedes_the_end(&*small, &mut parts).await;
    let is_gap = |incoming: &Incoming| matches!(incoming, Incoming::Gap { .. });
    assert!(
        !at_parts.is_empty() && at_parts.iter().all(is_gap),
        "{} came",
        at_parts.len()
    );
    // Redis drops a subscriber for whom more than 32 MiB wait, even if it could take them.
    let has_limit = url.starts_with("redis");
    let is_whole = at_whole.len() == 1 && at_whole[0] == Incoming::Message(big);
    assert!(is_whole || has_limit && at_whole.iter().all(is_gap) && !at_whole.is_empty());
}

/// Publishes `end`, again until it comes, and returns what came before.
async fn what_precedes_the_end(manager: &dyn ClientManager, subscription: &mut Subscription) -> Vec<Incoming> {
    let mut received = Vec::new();
    let receiving = async {
        loop {
            let end = Incoming::Message("end".into());
            // Published for a subscriber that may not be subscribed again yet.
            manager.publish("end".into()).await.unwrap();
            while let Ok(incoming) = timeout(DEADLINE / 10, subscription.recv()).await {
                match incoming.expect("the subscription goes on") {
                    incoming if incoming == end => return,
                    incoming => received.push(incoming),
                }
            }
        }
    };
    timeout(3 * DEADLINE, receiving).await.expect("the end comes");
    received
}

/// A process that cannot get rid of what it receives: the broker's side of the stream has to wait, or to cut it off.
async fn a_listener_slower_than_the_stream_holds_little_and_is_not_deaf(url: &str) {
    const COUNT: u64 = 6_000;
    /// The bytes in the pipe and in this process are those of this many messages.
    const PADDING: usize = 16 << 10;
    /// 16 MiB that a subscription may hold, as much again that is decoded or in the client library, and noise of the allocator; of
    /// 94 MiB that pass.
    const GROWTH_KIB: u64 = 48 << 10;
    let channel = unique_channel();
    let mut command = Command::new(tools::sio());
    command
        .args(["-v", "listen", "--json", "--url", url, "--channel", &channel])
        .env_remove("RUST_LOG");
    let mut slow = Process::spawn("sio listen", command);
    eventually("it listens", || slow.stderr().contains("listening")).await;
    let before = peak_kib(&slow);
    let emitter = Emitter::new(managers::on_channel(url, &channel));
    let padding = "x".repeat(PADDING);
    for first in (0..COUNT).step_by(100) {
        let emits = (first..first + 100).map(|number| emitter.emit("m", &("emitter", number, &padding)));
        for emitted in within("acceptance", futures_util::future::join_all(emits)).await {
            emitted.unwrap();
        }
    }
    let growth = peak_kib(&slow) - before;
    assert!(growth < GROWTH_KIB, "{growth} KiB");

    let (mut numbers, mut num_gaps) = (Vec::new(), 0);
    emitter.emit("end", &()).await.unwrap();
    loop {
        let line = slow.next_line(DEADLINE).await.expect("it goes on");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["event"] == "end" {
            break;
        }
        match line["args"][1].as_u64() {
            Some(number) => numbers.push(number),
            None => {
                num_gaps += 1;
                // Messages before it are lost, perhaps with the end.
                emitter.emit("end", &()).await.unwrap();
            }
        }
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, nothing twice");
    let is_complete = numbers.len() as u64 == COUNT;
    assert!(is_complete || num_gaps > 0, "{} came", numbers.len());
    assert!(
        is_complete || url.starts_with("redis"),
        "lost by a broker that keeps messages"
    );
}

/// The most memory that a process ever held, in KiB.
fn peak_kib(process: &Process) -> u64 {
    let pid = process.pid().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a process has a peak")
}
