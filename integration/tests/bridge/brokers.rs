//! Two bridges side by side, of whose brokers one is frozen or started again.

use std::ops::RangeInclusive;

use integration::DEADLINE;
use integration::brokers::{Kind, Private, RabbitBroker, RedisBroker, unique_channel};
use integration::client::RealClient;
use integration::node::Target;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Duration, sleep, timeout};

use super::availability::{Outcome, difference, exchange, repeats, two};
use super::support::{BridgeProcess, Ends, Fleets, Places};

/// Events that each fleet emits around each start of a broker.
const AROUND: u32 = 100;
const PACE: Duration = Duration::from_millis(10);
/// How often a client without events looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// The longest pause of a frozen broker, longer than a publish may take.
const LONGEST_PAUSE: u64 = 3_000;

/// The places of fleets on brokers of a test.
fn places(ends: Ends, python_url: String, node_url: String) -> Places {
    Places {
        ends,
        python_url,
        node_url,
        name: unique_channel(),
    }
}

/// The broker that bridges bring events to stands still, again and again: what was sent to it then may have arrived.
#[tokio::test]
async fn each_event_arrives_once_or_is_admitted_while_the_broker_of_a_side_is_frozen_again_and_again() {
    let broker = RedisBroker::start().await;
    let python_url = RedisBroker::shared().await.url().to_owned();
    let places = places(Ends::RedisClassic, python_url, broker.url());
    let fleets = Fleets::start_at(places.clone()).await;
    let bridges = two([&places, &places]).await;
    // It is to outlive this.
    let broker = &broker;
    let freezing = async move {
        for _ in 0..repeats() {
            sleep(Duration::from_millis(300)).await;
            broker.freeze().await;
            sleep(Duration::from_millis(fastrand::u64(100..LONGEST_PAUSE))).await;
            broker.thaw();
            for bridge in &bridges {
                bridge.until_ready_again().await;
            }
        }
        Outcome { bridges, lost: 0.0 }
    };
    exchange(fleets, freezing).await;
}

/// What one client has received of one fleet.
type Received = Vec<u32>;

/// Fleets that emit numbered events until they are told to end.
struct Exchange {
    fleets: Fleets,
    /// The number of the next event.
    next: watch::Sender<u32>,
    /// Probes of which each client has received the one of the other fleet.
    probed: watch::Sender<[u32; 2]>,
    end: watch::Receiver<bool>,
}

impl Exchange {
    /// Emits, and reads at both clients, until the end. Returns what the clients have received of the other fleet.
    async fn run(self) -> [Received; 2] {
        let Self {
            fleets:
                Fleets {
                    mut python,
                    mut node,
                    mut python_client,
                    mut node_client,
                    ..
                },
            next,
            probed,
            end,
        } = self;
        let everyone = Target::all("/");
        let emitting = async {
            while !*end.borrow() {
                let number = *next.borrow();
                let args = json!([number]);
                tokio::join!(
                    python.emit("python", args.clone(), None),
                    node.emit(&everyone, "node", args.clone()),
                    sleep(PACE)
                );
                next.send_modify(|next| *next += 1);
            }
        };
        let reading = async {
            tokio::join!(
                read(&mut python_client, "node", 0, &probed, &end),
                read(&mut node_client, "python", 1, &probed, &end)
            )
        };
        let ((), (at_python, at_node)) = tokio::join!(emitting, reading);
        [at_python, at_node]
    }
}

/// Reads the events of the other fleet until the end.
async fn read(
    client: &mut RealClient,
    of: &str,
    place: usize,
    probed: &watch::Sender<[u32; 2]>,
    end: &watch::Receiver<bool>,
) -> Received {
    let mut received = Vec::new();
    while !*end.borrow() {
        let Ok(message) = timeout(LOOK, client.next_message(DEADLINE)).await else {
            continue;
        };
        let number = u32::try_from(message.args[0].as_u64().unwrap()).unwrap();
        if message.name == of {
            received.push(number);
            probed.send_modify(|probed| probed[place] = number);
        }
    }
    received
}

/// A broker is started again, as often as told, while events flow. What is missing was emitted while it, or the servers
/// that use it, were away, and the bridges have counted a gap.
async fn started_again<K: Kind>(broker: &mut Private<K>, places: Places) {
    let fleets = Fleets::start_at(places.clone()).await;
    let bridges = two([&places, &places]).await;
    let (next, probed) = (watch::Sender::new(1), watch::Sender::new([0, 0]));
    let (ending, end) = watch::channel(false);
    let exchange = Exchange {
        fleets,
        next: next.clone(),
        probed: probed.clone(),
        end,
    };
    let running = tokio::spawn(exchange.run());
    let mut away = Vec::new();
    let mut seen = (next.subscribe(), probed.subscribe());
    flows(&mut seen).await;
    // One start takes some servers of the fleets a minute to recover from.
    for _ in 0..repeats().div_ceil(2) {
        // What had not arrived by then.
        let from = probed.borrow().iter().min().map_or(1, |number| number + 1);
        broker.restart().await;
        for bridge in &bridges {
            bridge.until_ready_again().await;
        }
        away.push(from..=flows(&mut seen).await);
        let enough = *next.borrow() + AROUND;
        let emitted = timeout(DEADLINE, seen.0.wait_for(|next| *next >= enough));
        emitted.await.expect("events are emitted").unwrap();
    }
    flows(&mut seen).await;
    let last = *next.borrow() - 1;
    let arrived = timeout(
        DEADLINE,
        seen.1.wait_for(|probed| probed.iter().all(|number| *number >= last)),
    );
    arrived.await.expect("the last events arrive").unwrap();
    ending.send_replace(true);
    let received = running.await.unwrap();
    judge(&received, last, &away, &bridges).await;
}

/// Waits until an event that is emitted from now on has arrived both ways; returns its number.
async fn flows((next, probed): &mut (watch::Receiver<u32>, watch::Receiver<[u32; 2]>)) -> u32 {
    let from = *next.borrow();
    let arrived = probed.wait_for(|probed| probed.iter().all(|number| *number >= from));
    let arrived = timeout(2 * DEADLINE, arrived)
        .await
        .expect("events pass again")
        .unwrap();
    arrived.iter().copied().max().unwrap()
}

async fn judge(received: &[Received; 2], last: u32, away: &[RangeInclusive<u32>], bridges: &[BridgeProcess]) {
    let (mut lost, mut gaps) = (0.0, 0.0);
    for bridge in bridges {
        lost += bridge.metric("sio_bridge_lost_total").await;
        gaps += bridge.metric("sio_bridge_gaps_total").await;
    }
    let said: String = bridges.iter().map(BridgeProcess::stderr).collect();
    for (of, numbers) in ["node", "python"].into_iter().zip(received) {
        let (missing, disorder) = difference(numbers, &(1..=last).collect::<Vec<_>>());
        assert!(disorder.is_empty(), "of {of}: {disorder:?}\n{said}");
        println!(
            "of {of}: {last} events, {} missing; {lost} admitted, {gaps} gaps",
            missing.len()
        );
        let is_known = |number: &u32| away.iter().any(|range| range.contains(number));
        let unknown: Vec<_> = missing.iter().filter(|number| !is_known(number)).collect();
        assert!(
            unknown.len() as f64 <= lost,
            "of {of}: {unknown:?} are missing, away were {away:?}, {lost} admitted"
        );
    }
    assert!(gaps > 0.0, "the bridges tell that they may have missed something");
}

#[tokio::test]
async fn events_pass_again_after_redis_was_started_again_under_two_bridges() {
    let mut broker = RedisBroker::start().await;
    let python_url = RedisBroker::shared().await.url().to_owned();
    let places = places(Ends::RedisClassic, python_url, broker.url());
    started_again(&mut broker, places).await;
}

#[tokio::test]
async fn events_pass_again_after_rabbitmq_was_started_again_under_two_bridges() {
    let mut broker = RabbitBroker::start().await;
    let node_url = RedisBroker::shared().await.url().to_owned();
    let places = places(Ends::KombuStreams, broker.url(), node_url);
    started_again(&mut broker, places).await;
}
