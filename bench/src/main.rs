//! The command `sio-bench`: loads servers, runs suites, reports figures.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bench::apps::{emitter::Emit, floor::Floor, server::Server};
use bench::load::Target;
use bench::process::{Watched, allow_many_files};
use bench::scenario::{Scenario, Setup};
use bench::suite::{Figures, Results, Run, publish, table};
use clap::{Args, Parser, Subcommand};
use tokio::runtime;
use tokio::task::LocalSet;

/// Load generator and benchmarks of Socket.IO servers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Loads a server and prints one line of JSON
    Load(Load),
    /// Serves the test application with this project
    Serve(Server),
    /// Emits with this project
    Emit(Emit),
    /// Serves the floor: the socket calls alone
    Floor(Floor),
    /// Runs rows of the tables for several targets in turn
    Run(RunCommand),
    /// Prints the tables of all results
    Report(ReportCommand),
}

#[derive(Args)]
#[command(args_override_self = true)]
struct Load {
    /// Server, such as http://127.0.0.1:3000
    #[arg(long)]
    url: Target,
    /// Process to account for, by ID or NAME=ID; the first is the server
    #[arg(long = "process")]
    processes: Vec<Watched>,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Args)]
struct RunCommand {
    /// File that results are appended to
    #[arg(long, default_value = "bench/results.jsonl")]
    results: PathBuf,
    #[command(flatten)]
    run: Run,
}

#[derive(Args)]
struct ReportCommand {
    /// File with results
    #[arg(long, default_value = "bench/results.jsonl")]
    results: PathBuf,
    /// Put the figures into docs/figures.json, and make of it the tables of README.md, docs/performance.md and docs/brokers.md and the
    /// chart docs/figures.svg; rows without results stay
    #[arg(long)]
    publish: bool,
}

fn main() -> Result<()> {
    allow_many_files()?;
    match Cli::parse().command {
        Command::Load(load) => {
            let setup = Setup {
                target: load.url,
                processes: load.processes,
            };
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let report = LocalSet::new().block_on(&runtime, load.scenario.run(&setup))?;
            println!("{}", serde_json::to_string(&report)?);
            // Thousands of connections need not be closed one by one.
            std::process::exit(0);
        }
        Command::Serve(server) => many_threads()?.block_on(server.run()),
        Command::Floor(floor) => many_threads()?.block_on(floor.run()),
        Command::Emit(emit) => {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            println!("{}", serde_json::to_string(&runtime.block_on(emit.run())?)?);
            Ok(())
        }
        Command::Run(command) => many_threads()?.block_on(command.run.run(&Results(command.results))),
        Command::Report(command) => {
            let figures = Figures::of(&Results(command.results).read()?);
            print!("{}", table(&figures));
            match command.publish {
                true => publish(Path::new("."), figures),
                false => Ok(()),
            }
        }
    }
}

fn many_threads() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_multi_thread().enable_all().build()
}
