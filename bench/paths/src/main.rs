//! The command `bench-paths`: counts the instructions of the hot paths.

use anyhow::Result;
use bench_paths::instructions::{Instructions, RunPath};
use clap::{Parser, Subcommand};

/// Instruction counts of the hot paths.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Counts instructions, and compares them with those that are recorded
    Check(Instructions),
    /// Runs operations of one path and nothing else
    Run(RunPath),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Check(instructions) => instructions.run(),
        Command::Run(path) => path.run(),
    }
}
