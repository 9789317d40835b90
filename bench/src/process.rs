//! Processor time and memory of the processes under test, from `/proc`.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result};
use procfs::process::Process as Proc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// A process whose processor time is measured, under the name it has in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The name in the report.
    pub name: String,
    /// The id of the process.
    pub id: i32,
}

impl FromStr for Watched {
    type Err = anyhow::Error;

    /// Parses `ID`, which is named `server`, or `NAME=ID`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, id) = text.split_once('=').unwrap_or(("server", text));
        let id = id
            .parse()
            .with_context(|| format!("{id:?} is not the id of a process"))?;
        Ok(Self {
            name: name.to_owned(),
            id,
        })
    }
}

/// Processor time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// In the process itself.
    pub user: f64,
    /// In the kernel on its behalf.
    pub system: f64,
}

impl Cpu {
    /// Returns the CPU time of process `id` so far.
    ///
    /// # Errors
    ///
    /// If there is no such process.
    pub fn of(id: i32) -> Result<Self> {
        let stat = Proc::new(id)?.stat()?;
        let tick = 1e6 / procfs::ticks_per_second() as f64;
        Ok(Self {
            user: stat.utime as f64 * tick,
            system: stat.stime as f64 * tick,
        })
    }

    /// Returns the CPU time of the children of this process that have ended.
    ///
    /// # Errors
    ///
    /// If `/proc` cannot be read.
    pub fn of_ended_children() -> Result<Self> {
        let stat = Proc::myself()?.stat()?;
        let tick = 1e6 / procfs::ticks_per_second() as f64;
        Ok(Self {
            user: stat.cutime as f64 * tick,
            system: stat.cstime as f64 * tick,
        })
    }

    /// Returns user and system time together.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    fn per_operation_since(self, before: Self, num_operations: u64) -> Self {
        let share = |now: f64, before: f64| (now - before) / num_operations.max(1) as f64;
        Self {
            user: share(self.user, before.user),
            system: share(self.system, before.system),
        }
    }
}

/// Returns the resident memory of process `id`, in KiB.
///
/// # Errors
///
/// If there is no such process.
pub fn resident_kib(id: i32) -> Result<u64> {
    let status = Proc::new(id)?.status()?;
    status.vmrss.context("the kernel does not tell the resident memory")
}

/// Returns the highest resident memory that process `id` has had, in KiB.
///
/// # Errors
///
/// If there is no such process.
pub fn peak_kib(id: i32) -> Result<u64> {
    let status = Proc::new(id)?.status()?;
    status
        .vmhwm
        .context("the kernel does not tell the peak of resident memory")
}

/// Measures processor time from its beginning on.
#[derive(Debug)]
pub struct Meter(Vec<(Watched, Cpu)>);

impl Meter {
    /// Begins to measure `watched` and this process, which is named `generator`.
    ///
    /// # Errors
    ///
    /// If one of them does not exist.
    pub fn start(watched: &[Watched]) -> Result<Self> {
        let own = Watched {
            name: "generator".to_owned(),
            id: i32::try_from(std::process::id())?,
        };
        let begin = |watched: &Watched| Ok((watched.clone(), Cpu::of(watched.id)?));
        watched.iter().chain([&own]).map(begin).collect::<Result<_>>().map(Self)
    }

    /// Returns the processor time of each process since then, divided by `num_operations`.
    ///
    /// # Errors
    ///
    /// If one of them has ended: its CPU time is no longer known.
    pub fn per_operation(&self, num_operations: u64) -> Result<BTreeMap<String, Cpu>> {
        let share = |(watched, before): &(Watched, Cpu)| {
            let now = Cpu::of(watched.id).with_context(|| format!("{} has ended", watched.name))?;
            Ok((watched.name.clone(), now.per_operation_since(*before, num_operations)))
        };
        self.0.iter().map(share).collect()
    }
}

/// Allows this process as many open files as the system grants.
///
/// # Errors
///
/// If the limit cannot be set.
pub fn allow_many_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_measured() {
        let meter = Meter::start(&[]).expect("this process exists");
        // By its own clock: where others work, too, 60 ms of work take longer.
        let own = || {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            now.tv_sec * 1_000_000_000 + now.tv_nsec
        };
        let (began, mut sum) = (own(), 0_u64);
        while own() - began < 60_000_000 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        let cpu = meter.per_operation(1).expect("this process exists")["generator"];
        assert!(cpu.total() >= 20_000.0, "{cpu:?} for 60 ms of work ({sum})");
        assert!(resident_kib(std::process::id() as i32).expect("this process exists") > 100);
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        let nothing = "server=2147483647".parse().expect("an id");
        assert!(Meter::start(&[nothing]).is_err());
        assert!("server=x".parse::<Watched>().is_err());
    }
}
