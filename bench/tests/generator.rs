//! The load generator against the servers of this project: its counts are those of the work done.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench::process::Watched;
use bench::report::Report;
use bench::scenario::{Scenario, Setup};
use clap::Parser;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

/// A server of its own process, ended when it is dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    async fn start(kind: &str) -> Self {
        let port = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            listener.local_addr().expect("an address").port()
        };
        let process = Command::new(env!("CARGO_BIN_EXE_sio-bench"))
            .args([kind, &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut server = Self { process, port };
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            assert!(server.process.try_wait().expect("a child").is_none(), "{kind} ended");
            tokio::task::yield_now().await;
        }
        server
    }

    fn setup(&self) -> Setup {
        Setup {
            target: format!("http://127.0.0.1:{}", self.port).parse().expect("a target"),
            processes: vec![Watched {
                name: "server".to_owned(),
                id: self.process.id() as i32,
            }],
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Runs a scenario, given as on the command line, against a server of that kind.
fn run(kind: &str, arguments: &str) -> Report {
    let scenario = Cli::parse_from(["load"].into_iter().chain(arguments.split(' '))).scenario;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let server = Server::start(kind).await;
        let setup = server.setup();
        let run = tokio::time::timeout(Duration::from_secs(60), scenario.run(&setup)).await;
        run.expect("the run ends").expect("the run succeeds")
    })
}

fn assert_worked(report: &Report, what: &str) {
    assert!(report.num_operations > 0, "{what}: {report:?}");
    assert_eq!((report.num_lost, report.num_failed), (0, 0), "{what}: {report:?}");
    assert!(report.server_cpu().is_some(), "{what}: {report:?}");
}

#[test]
fn every_scenario_without_a_broker_counts_what_both_servers_do() {
    let short = "--warm-up 0.1 --duration 0.3";
    for kind in ["serve", "floor"] {
        for arguments in [
            &format!("echo --clients 3 --depth 2 {short}"),
            &format!("broadcast --clients 10 --rooms 3 --batch 2 {short}"),
            &format!("broadcast --clients 4 --payload 70000 {short}"),
            &format!("broadcast --clients 4 --rate 50 {short}"),
            "churn --clients 20 --others 2 --duration 0.3",
            "storm --clients 20",
        ] {
            assert_worked(&run(kind, arguments), &format!("{kind}: {arguments}"));
        }
    }
}

#[test]
fn polling_counts_acknowledgements() {
    let report = run("serve", "echo --clients 2 --polling --warm-up 0.1 --duration 0.3");
    assert_worked(&report, "polling");
    assert!(
        report
            .latency
            .is_some_and(|latency| latency.count >= report.num_operations),
        "{report:?}"
    );
}

#[test]
fn connections_and_their_memory_are_counted() {
    let report = run("serve", "connect --clients 200 --broadcast 16384");
    assert_worked(&report, "connect");
    assert_eq!(report.num_operations, 200);
    let memory = report.memory.expect("memory is looked at");
    assert!(memory.idle > memory.before && memory.num_clients == 200, "{memory:?}");
}

#[test]
fn what_a_server_does_not_deliver_is_counted_as_lost() {
    // The emitter ends well and publishes nothing.
    let report = run("floor", "bridge --clients 2 --messages 3 --patience 0.2 -- true");
    assert_eq!((report.num_operations, report.num_lost), (0, 6), "{report:?}");
}
