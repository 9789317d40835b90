//! Servers and emitters of ours that are killed beside servers of Node: the requests of those complete, except what was
//! under way to a server that is killed.
//!
//! `SIO_TEST_REPEATS` is the number of servers that are killed, 2 by default. Where it is set, servers on Node are killed,
//! too, and the figures of both are printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use integration::brokers::unique_channel;
use integration::driven::Driven;
use integration::node::{NodeAdapter, NodeOptions, NodeOutcome, NodeRequests, NodeServer};
use integration::process::Process;
use integration::{DEADLINE, tools};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::client::Client;

/// How many servers are killed where the environment does not say.
const KILLS: u64 = 2;
/// How often requests are sent at least.
const MIN_ROUNDS: u64 = 50;
/// The timeout of requests that take one.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// The longest time until requests complete again after a kill, where it is the broker that sees the end of a server;
/// `serverSideEmitWithAck` takes 5 s to time out.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// The servers that come, go and are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    Node,
}

/// What of a server's requests may fail at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Steady,
    /// A server starts or closes: `emitWithAck`, which counts the servers behind its request, may meet that moment; on
    /// the sharded wire every request may meet a close.
    Changing,
    /// A server was killed.
    Killed,
}

/// What came of the requests of one kind.
#[derive(Clone, Debug, Default)]
struct Tally {
    completed: u64,
    /// Those that had counted a server which was then killed.
    under_way: u64,
    /// Those that met the moment in which a server started or closed.
    changing: u64,
    /// Those that ended well without the responses of the servers that stay.
    incomplete: u64,
    /// Those that failed for no reason that is known, beside servers on Node.
    unexplained: u64,
}

/// The rounds so far.
#[derive(Clone, Debug, Default)]
struct Rounds {
    count: u64,
    /// The number of servers that the latest round had counted.
    counted: u64,
    tallies: BTreeMap<String, Tally>,
    /// Whether the servers that come and go are on Node, too: what fails then is counted, and shows nothing about ours.
    is_comparison: bool,
}

/// The fleet around what is killed.
struct Surroundings {
    adapter: NodeAdapter,
    url: String,
    options: NodeOptions,
    phase: watch::Sender<Phase>,
    /// How many emitters were killed while they ran.
    num_emitters: AtomicU64,
}

/// A server in a process of its own.
enum Killed {
    Ours(Driven),
    Node(NodeServer),
}

impl Surroundings {
    fn new(adapter: NodeAdapter, is_long: bool) -> Self {
        let mut options = NodeOptions::on(&unique_channel());
        match adapter {
            NodeAdapter::Classic | NodeAdapter::ClassicSpecific => {
                options.more = json!({ "requestsTimeout": TIMEOUT.as_millis() });
            }
            // Servers of ours are heard of every few milliseconds here, by their responses.
            NodeAdapter::Streams02 | NodeAdapter::Postgres if !is_long => {
                options.more = json!({ "heartbeatInterval": 500, "heartbeatTimeout": 2_500 });
            }
            _ => {}
        }
        Self {
            adapter,
            url: String::new(),
            options,
            phase: watch::Sender::default(),
            num_emitters: AtomicU64::new(0),
        }
    }

    async fn node(&self) -> NodeServer {
        NodeServer::start(self.adapter, &self.url, &self.options).await
    }

    /// Starts a server, and returns where its clients connect.
    async fn start(&self, kind: Kind) -> (Killed, SocketAddr) {
        let (killed, address) = match kind {
            Kind::Ours => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_sio-test-member"));
                command.args([self.adapter.name(), &self.url, &self.options.prefix]);
                let mut driven = Driven::program("sio-test-member", command);
                let listening = driven.until(DEADLINE, |event| event["event"] == "listening").await;
                (Killed::Ours(driven), format!("127.0.0.1:{}", listening["port"]))
            }
            Kind::Node => {
                let node = self.node().await;
                let address = node.url().trim_start_matches("http://").to_owned();
                (Killed::Node(node), address)
            }
        };
        (killed, address.parse().unwrap())
    }

    /// Sends rounds of requests until it is aborted. `ids` are those of the clients that stay.
    fn ask(
        self: &Arc<Self>,
        mut node: NodeServer,
        ids: [String; 2],
        kind: Kind,
    ) -> (watch::Receiver<Rounds>, JoinHandle<()>) {
        let (sender, receiver) = watch::channel(Rounds {
            is_comparison: kind == Kind::Node,
            ..Rounds::default()
        });
        let (surroundings, is_sharded) = (self.clone(), self.adapter == NodeAdapter::Sharded);
        let asking = tokio::spawn(async move {
            loop {
                let requests = node.requests("/", TIMEOUT).await;
                let phase = *surroundings.phase.borrow();
                sender.send_modify(|rounds| rounds.add(requests, phase, &ids, is_sharded));
            }
        });
        (receiver, asking)
    }

    /// Begins a change of the servers; returns the rounds before it.
    fn change(&self, rounds: &watch::Receiver<Rounds>) -> Rounds {
        self.phase.send_replace(Phase::Changing);
        rounds.borrow().clone()
    }

    /// Starts emitters that ask all clients, and kills them at random moments; never completes.
    async fn kill_emitters(&self) {
        loop {
            let mut command = Command::new(tools::sio());
            command.args(["emit", "question", "--ack=9", "--timeout=5"]);
            command.arg(format!("--url={}", self.url));
            command.arg(format!("--wire={}", self.wire()));
            command.arg(format!("--wire-prefix={}", self.options.prefix));
            if self.wire().starts_with("node-streams") {
                command.arg(format!("--wire-stream={}", self.options.prefix));
            }
            let mut emitter = Process::spawn("sio", command);
            sleep(Duration::from_millis(fastrand::u64(5..200))).await;
            emitter.signal("KILL");
            let status = emitter.wait(DEADLINE).await;
            assert_eq!(status.signal(), Some(9), "it has ended before: {}", emitter.stderr());
            self.num_emitters.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wire(&self) -> &'static str {
        match self.adapter {
            NodeAdapter::Classic | NodeAdapter::ClassicSpecific => "node-classic",
            NodeAdapter::Sharded => "node-sharded",
            NodeAdapter::Streams => "node-streams",
            NodeAdapter::Streams02 => "node-streams-0.2",
            NodeAdapter::Postgres => "node-postgres",
        }
    }
}

impl Rounds {
    fn add(&mut self, requests: NodeRequests, phase: Phase, ids: &[String; 2], is_sharded: bool) {
        self.count += 1;
        self.counted = requests.counted;
        for (name, outcome) in requests.outcomes {
            self.add_outcome(name, outcome, phase, ids, is_sharded);
        }
    }

    fn add_outcome(&mut self, name: String, outcome: NodeOutcome, phase: Phase, ids: &[String; 2], is_sharded: bool) {
        let tally = self.tallies.entry(name.clone()).or_default();
        let expected: &[Value] = match &*name {
            "fetchSockets" => &ids.each_ref().map(|id| json!(id)),
            "emitWithAck" => &ids.each_ref().map(|id| json!(id)),
            // What the other server on Node responds.
            _ => &[json!(1)],
        };
        match (outcome, phase) {
            (NodeOutcome::Responses(responses), _) => {
                tally.completed += 1;
                let is_complete = expected.iter().all(|expected| responses.contains(expected));
                assert!(
                    is_complete || phase != Phase::Steady || self.is_comparison,
                    "{name} of {} servers: only {responses:?}, without {expected:?}",
                    self.counted
                );
                tally.incomplete += u64::from(!is_complete);
            }
            (NodeOutcome::Error(_), Phase::Killed) if self.counted == 3 => tally.under_way += 1,
            (NodeOutcome::Error(_), Phase::Changing) if is_sharded || name == "emitWithAck" => tally.changing += 1,
            (NodeOutcome::Error(_), _) if self.is_comparison => tally.unexplained += 1,
            (NodeOutcome::Error(error), _) => panic!("{name} of {} servers: {error}", self.counted),
        }
    }
}

/// Waits until a round of requests has counted so many servers, and completes none that began before.
async fn until_counted(rounds: &mut watch::Receiver<Rounds>, count: u64) {
    let first = rounds.borrow().count + 1;
    let seen = rounds.wait_for(|rounds| rounds.count > first && rounds.counted == count);
    let seen = tokio::time::timeout(DEADLINE, seen).await;
    seen.expect("the server comes and goes").expect("requests fail");
}

/// Connects a client that acknowledges every event with its id, until its server ends. Returns the id.
async fn acknowledge(address: SocketAddr) -> String {
    let mut client = Client::connect(address, &[]).await;
    let sid = client.sid.clone();
    tokio::spawn(async move {
        while let Some(packet) = client.next_packet().await {
            let event = packet.strip_prefix("42").unwrap_or_default();
            if let Some((id, _)) = event.split_once('[').filter(|(id, _)| !id.is_empty()) {
                client.send(&format!("43{id}[\"{}\"]", client.sid)).await;
            }
        }
    });
    sid
}

/// Servers of one kind come, go and are killed while another one sends requests. Returns figures.
async fn only_requests_under_way_fail(adapter: NodeAdapter, kind: Kind, kills: u64, is_long: bool) -> String {
    let mut surroundings = Surroundings::new(adapter, is_long);
    surroundings.url = adapter.shared_url().await.to_owned();
    let (mut one, two) = tokio::join!(surroundings.node(), surroundings.node());
    one.until_server_count("/", 2).await;
    let address = |server: &NodeServer| server.url().trim_start_matches("http://").parse().unwrap();
    let ids = [acknowledge(address(&one)).await, acknowledge(address(&two)).await];
    let surroundings = Arc::new(surroundings);
    let (mut rounds, asking) = surroundings.ask(one, ids, kind);
    until_counted(&mut rounds, 2).await;
    let churn = async {
        let mut longest = Duration::ZERO;
        for _ in 0..kills {
            // Each request that meets the end of a server on the sharded wire takes 5 s; Node's have no other end here.
            if kind == Kind::Ours && (is_long || adapter != NodeAdapter::Sharded) {
                close(&surroundings, &mut rounds).await;
            }
            longest = longest.max(kill(&surroundings, &mut rounds, kind).await);
        }
        let enough = rounds.wait_for(|rounds| rounds.count >= MIN_ROUNDS);
        enough.await.expect("requests fail");
        longest
    };
    let longest = tokio::select! {
        longest = churn => longest,
        () = surroundings.kill_emitters() => unreachable!("it never completes"),
    };
    asking.abort();
    let rounds = rounds.borrow().clone();
    let num_emitters = surroundings.num_emitters.load(Ordering::Relaxed);
    let mut figures = format!(
        "{adapter:?}, {kind:?}: {kills} killed, {num_emitters} emitters killed, again after {longest:?} at most"
    );
    for (name, tally) in rounds.tallies {
        let Tally {
            completed,
            under_way,
            changing,
            incomplete,
            unexplained,
        } = tally;
        let figures = &mut figures;
        write!(figures, "; {name}: {completed} completed, of which {incomplete} incomplete, {under_way} under way, {changing} changing, {unexplained} unexplained").unwrap();
    }
    figures
}

/// A server of ours comes and closes. It has no clients: one that goes before it acknowledges leaves a request open.
async fn close(surroundings: &Surroundings, rounds: &mut watch::Receiver<Rounds>) {
    let before = surroundings.change(rounds);
    let (Killed::Ours(mut ours), _) = surroundings.start(Kind::Ours).await else {
        return;
    };
    until_counted(rounds, 3).await;
    assert_failed(&before, &rounds.borrow(), 1, "has started");
    let before = surroundings.change(rounds);
    ours.process().close_stdin();
    assert!(ours.process().wait(DEADLINE).await.success());
    until_counted(rounds, 2).await;
    surroundings.phase.send_replace(Phase::Steady);
    assert_failed(&before, &rounds.borrow(), 1, "has closed");
}

/// Asserts that no request has failed more than `max` times since then.
fn assert_failed(before: &Rounds, after: &Rounds, max: u64, event: &str) {
    for (name, after) in &after.tallies {
        let before = before.tallies[name].under_way + before.tallies[name].changing;
        let failed = after.under_way + after.changing - before;
        assert!(failed <= max, "{name} has failed {failed} times after a server {event}");
    }
}

/// A server comes and is killed. Returns when all requests completed again.
async fn kill(surroundings: &Surroundings, rounds: &mut watch::Receiver<Rounds>, kind: Kind) -> Duration {
    let before = surroundings.change(rounds);
    let (mut killed, address) = surroundings.start(kind).await;
    drop(acknowledge(address).await);
    until_counted(rounds, 3).await;
    assert_failed(&before, &rounds.borrow(), 1, "has started");
    surroundings.phase.send_replace(Phase::Steady);
    sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    surroundings.phase.send_replace(Phase::Killed);
    let process = match &mut killed {
        Killed::Ours(driven) => driven.process(),
        Killed::Node(node) => node.driven().process(),
    };
    process.signal("KILL");
    let (at, before) = (Instant::now(), rounds.borrow().clone());
    until_counted(rounds, 2).await;
    let again = at.elapsed();
    surroundings.phase.send_replace(Phase::Steady);
    if !matches!(surroundings.adapter, NodeAdapter::Streams02 | NodeAdapter::Postgres) {
        assert!(again < AGAIN_WITHIN, "requests fail for {again:?}");
        // The one under way, and on a busy machine one that is sent before Redis sees the end.
        assert_failed(&before, &rounds.borrow(), 2, "was killed");
    }
    again
}

async fn only_requests_under_way_to_a_server_that_is_killed_fail(adapter: NodeAdapter) {
    let repeats = std::env::var("SIO_TEST_REPEATS").ok();
    let kills = repeats.as_deref().map_or(KILLS, |repeats| repeats.parse().unwrap());
    let kinds: &[_] = match repeats {
        Some(_) => &[Kind::Ours, Kind::Node],
        None => &[Kind::Ours],
    };
    for kind in kinds {
        let figures = only_requests_under_way_fail(adapter, *kind, kills, repeats.is_some()).await;
        println!("{figures}");
    }
}

macro_rules! on_wires {
    ($($adapter:ident as $test:ident,)*) => {
        $(#[tokio::test]
        async fn $test() {
            only_requests_under_way_to_a_server_that_is_killed_fail(NodeAdapter::$adapter).await;
        })*
    };
}

on_wires! {
    Classic as by_pub_sub_only_requests_under_way_to_a_server_that_is_killed_fail,
    Sharded as by_sharded_pub_sub_only_requests_under_way_to_a_server_that_is_killed_fail,
    Streams as by_streams_only_requests_under_way_to_a_server_that_is_killed_fail,
    Streams02 as by_heartbeats_only_requests_under_way_to_a_server_that_is_killed_fail,
    Postgres as by_notifications_only_requests_under_way_to_a_server_that_is_killed_fail,
}
