//! Instruction counts of the hot paths: counted by callgrind, and compared with those recorded in a file.
//!
//! A count does not depend on what else the machine does, nor much on its kind, so that a few per cent can be told apart where times cannot. It
//! holds for one toolchain: a count of another one is not compared.

mod callgrind;
mod record;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

pub use record::{Comparison, Record};

use crate::HotPath;

/// Runs operations of one path and nothing else.
#[derive(Clone, Debug, Args)]
pub struct RunPath {
    /// Path to run
    path: HotPath,
    /// Number of operations
    count: u64,
}

impl RunPath {
    /// Runs them.
    ///
    /// # Errors
    ///
    /// If one fails.
    pub fn run(&self) -> Result<()> {
        let mut operation = self.path.prepare()?;
        for _ in 0..self.count {
            operation.run()?;
        }
        // The cost of shutting down is not part of the path.
        std::process::exit(0);
    }
}

/// Counts the instructions of the hot paths and compares them with those that are recorded.
#[derive(Clone, Debug, Args)]
pub struct Instructions {
    /// Records the counts instead
    #[arg(long)]
    record: bool,
    /// File of the record
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../instructions.json"))]
    file: PathBuf,
    /// Paths to count, comma separated; all by default
    #[arg(long, value_delimiter = ',')]
    paths: Vec<HotPath>,
}

impl Instructions {
    /// Counts, then compares or records.
    ///
    /// # Errors
    ///
    /// If valgrind is missing or fails; if the record is of another toolchain or lacks a path; if a path costs over 3 % more than is recorded.
    pub fn run(&self) -> Result<()> {
        let recorded = Record::read(&self.file)?;
        let toolchain = callgrind::toolchain()?;
        if !self.record && recorded.toolchain != toolchain {
            bail!(
                "recorded with {}, but this is {toolchain}: record anew at a revision that is known to be good (bench/check --record)",
                recorded.toolchain
            );
        }
        let mut counted = Record::new(toolchain);
        for &path in self.chosen() {
            let count = callgrind::count(path).with_context(|| format!("counting {}", path.name()))?;
            let before = recorded.instructions.get(&path).copied();
            println!("{}", Comparison { path, before, count });
            counted.instructions.insert(path, count);
        }
        if self.record {
            return recorded.updated(counted).write(&self.file);
        }
        let slower = recorded.slower(&counted)?;
        if slower.is_empty() {
            return Ok(());
        }
        bail!(
            "slower than recorded by over {} %: {}",
            record::MAX_PERCENT,
            slower.join(", ")
        )
    }

    fn chosen(&self) -> &[HotPath] {
        if self.paths.is_empty() {
            return HotPath::value_variants();
        }
        &self.paths
    }
}
