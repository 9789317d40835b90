//! Two bridges side by side: one of them is killed, or cut off, again and again.

use std::collections::BTreeSet;

use integration::DEADLINE;
use integration::client::RealClient;
use integration::node::{NodeServer, Target};
use integration::proxy::TcpProxy;
use integration::python::PyServer;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use super::support::{BridgeProcess, Ends, Fleets, Places};

/// How often a bridge is killed, cut off, or its broker frozen; `SIO_TEST_REPEATS` makes it more.
pub(super) fn repeats() -> u32 {
    let repeats = std::env::var("SIO_TEST_REPEATS").ok();
    repeats.and_then(|repeats| repeats.parse().ok()).unwrap_or(2)
}

/// Events that each fleet emits meanwhile.
pub(super) fn count() -> u32 {
    match repeats() {
        0..=2 => 300,
        repeats => repeats * 1_000,
    }
}

/// Bridges that run, and the messages that those before them have counted as lost.
pub(super) struct Outcome {
    pub(super) bridges: Vec<BridgeProcess>,
    pub(super) lost: f64,
}

/// Emits the events of both fleets at an even pace, and further ones until all before them must have arrived. Asserts that
/// each client receives each of them once and in order, but for those that were counted as lost: where a broker does not
/// confirm in time, a bridge does not repeat a message.
pub(super) async fn exchange(fleets: Fleets, meanwhile: impl Future<Output = Outcome>) -> Vec<BridgeProcess> {
    let Fleets {
        mut python,
        mut node,
        mut python_client,
        mut node_client,
        ..
    } = fleets;
    let (is_over, over) = watch::channel(false);
    let emitting = emit(&mut python, &mut node, over);
    let reading = async {
        let read = tokio::join!(both(&mut python_client), both(&mut node_client));
        is_over.send_replace(true);
        read
    };
    let ((at_python, at_node), (), outcome) = tokio::join!(reading, emitting, meanwhile);
    let expected: Vec<_> = (1..=count()).collect();
    let mut missing = Vec::new();
    for (client, (of_python, of_node)) in [("python", at_python), ("node", at_node)] {
        for (fleet, received) in [("python", of_python), ("node", of_node)] {
            let (some, disorder) = difference(&received, &expected);
            if !disorder.is_empty() {
                let said: String = outcome.bridges.iter().map(BridgeProcess::stderr).collect();
                panic!("events of {fleet} at the client of {client}: {disorder:?}\n{said}");
            }
            missing.extend(some);
        }
    }
    let Outcome { bridges, mut lost } = outcome;
    for bridge in &bridges {
        lost += bridge.metric("sio_bridge_lost_total").await;
    }
    println!(
        "{} events each way, {} missing, {lost} admitted",
        count(),
        missing.len()
    );
    assert!(
        missing.len() as f64 <= lost,
        "{missing:?} are missing, and {lost} admitted"
    );
    bridges
}

/// Emits events of both fleets, in their number and beyond it, until they are over.
async fn emit(python: &mut PyServer, node: &mut NodeServer, over: watch::Receiver<bool>) {
    let pace = Duration::from_millis(if repeats() > 2 { 5 } else { 20 });
    let everyone = Target::all("/");
    let mut end = None;
    for number in 1_u32.. {
        if number > count() {
            let end = *end.get_or_insert_with(|| Instant::now() + DEADLINE);
            assert!(Instant::now() < end, "no event arrives any more");
        }
        let args = json!([number]);
        tokio::join!(
            python.emit("python", args.clone(), None),
            node.emit(&everyone, "node", args.clone()),
            sleep(pace)
        );
        if *over.borrow() {
            return;
        }
    }
}

/// The events of both fleets, as one client receives them, up to one that is later than those that count.
async fn both(client: &mut RealClient) -> (Vec<u32>, Vec<u32>) {
    let (mut of_python, mut of_node) = (Vec::new(), Vec::new());
    let is_over = |numbers: &Vec<u32>| numbers.last().is_some_and(|last| *last > count());
    while !is_over(&of_python) || !is_over(&of_node) {
        let message = client.next_message(Duration::from_secs(60)).await;
        let number = u32::try_from(message.args[0].as_u64().unwrap()).unwrap();
        let numbers = match &*message.name {
            "python" => &mut of_python,
            _ => &mut of_node,
        };
        if !is_over(numbers) {
            numbers.push(number);
        }
    }
    (of_python, of_node)
}

/// Returns the numbers that are missing, and pairs of which the second came too late, or twice.
pub(super) fn difference(received: &[u32], expected: &[u32]) -> (Vec<u32>, Vec<[u32; 2]>) {
    let here: BTreeSet<_> = received.iter().collect();
    let missing = expected.iter().filter(|number| !here.contains(number)).copied();
    let pairs = received.windows(2).filter(|pair| pair[0] >= pair[1]);
    (missing.collect(), pairs.map(|pair| [pair[0], pair[1]]).collect())
}

/// Starts two bridges at different places; returns the active one first.
pub(super) async fn two(places: [&Places; 2]) -> Vec<BridgeProcess> {
    let one = BridgeProcess::start(places[0]).await;
    one.until("active").await;
    let other = BridgeProcess::start(places[1]).await;
    other.until("standby").await;
    vec![one, other]
}

async fn killed(ends: Ends) {
    let fleets = Fleets::start(ends).await;
    let places = fleets.places.clone();
    let mut bridges = two([&places, &places]).await;
    let killing = async {
        let mut lost = 0.0;
        for _ in 0..repeats() {
            sleep(Duration::from_millis(300)).await;
            lost += bridges[0].metric("sio_bridge_lost_total").await;
            bridges.remove(0).kill().await;
            bridges[0].until("active").await;
            let next = BridgeProcess::start(&places).await;
            next.until("standby").await;
            bridges.push(next);
        }
        Outcome { bridges, lost }
    };
    exchange(fleets, killing).await;
}

#[tokio::test]
async fn each_event_arrives_once_while_one_of_two_bridges_is_killed_again_and_again() {
    killed(Ends::RedisClassic).await;
}

#[tokio::test]
async fn each_event_arrives_once_while_one_of_two_bridges_over_rabbitmq_and_streams_is_killed_again_and_again() {
    killed(Ends::RabbitStreams).await;
}

#[tokio::test]
async fn each_event_arrives_once_while_one_of_two_bridges_over_kafka_and_sharded_pub_sub_is_killed_again_and_again() {
    killed(Ends::KafkaSharded).await;
}

/// The places of a bridge behind proxies of its own.
async fn proxied(places: &Places) -> ([TcpProxy; 2], Places) {
    let (one, python_url) = TcpProxy::before(&places.python_url).await;
    let (other, node_url) = TcpProxy::before(&places.node_url).await;
    let places = Places {
        python_url,
        node_url,
        ..places.clone()
    };
    ([one, other], places)
}

#[tokio::test]
async fn each_event_arrives_once_while_the_forwarding_bridge_is_cut_off_from_its_brokers() {
    let fleets = Fleets::start(Ends::RedisClassic).await;
    let (first, first_places) = proxied(&fleets.places).await;
    let (second, second_places) = proxied(&fleets.places).await;
    let bridges = two([&first_places, &second_places]).await;
    let proxies = [first, second];
    let cutting = async {
        for _ in 0..repeats() {
            sleep(Duration::from_millis(300)).await;
            let active = usize::from(!bridges[0].is_active().await);
            for proxy in &proxies[active] {
                proxy.cut().await;
            }
            bridges[1 - active].until("active").await;
            proxies[active].iter().for_each(TcpProxy::restore);
            bridges[active].until("standby").await;
        }
        Outcome { bridges, lost: 0.0 }
    };
    let bridges = exchange(fleets, cutting).await;
    let mut gaps = 0.0;
    for bridge in &bridges {
        gaps += bridge.metric("sio_bridge_gaps_total").await;
    }
    assert!(gaps > 0.0, "what the bridge that was cut off has missed is counted");
}
