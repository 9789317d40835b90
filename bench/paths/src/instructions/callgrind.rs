//! Counting by valgrind's callgrind.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::HotPath;

/// Operations before any is counted, so that work done only once is not counted.
const NUM_WARM_UP: u64 = 20;

/// Returns how many operations are counted: enough that what is left of chance does not show.
fn num_counted(path: HotPath) -> u64 {
    match path {
        HotPath::WireDecode | HotPath::WireEncode => 5_000,
        HotPath::EventAck => 2_000,
        HotPath::EmitToRoom => 20,
        HotPath::FrameParse => 200,
    }
}

/// Counts the instructions of one operation: those of a long run without those of a short one, which holds the same preparation.
///
/// # Errors
///
/// If valgrind is missing, or the path fails.
pub(super) fn count(path: HotPath) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let short = run(path, NUM_WARM_UP, folder.path())?;
    let long = run(path, NUM_WARM_UP + num_counted(path), folder.path())?;
    Ok(long.saturating_sub(short) / num_counted(path))
}

fn run(path: HotPath, num_operations: u64, folder: &Path) -> Result<u64> {
    let output = folder.join("callgrind.out");
    let ended = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(env::current_exe()?)
        .args(["run", path.name(), &num_operations.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("valgrind is needed (Debian: apt-get install valgrind)")?;
    if !ended.status.success() {
        bail!("{}", String::from_utf8_lossy(&ended.stderr).trim_end());
    }
    let text = std::fs::read_to_string(output)?;
    total(&text).context("callgrind counted nothing")
}

/// Reads the sum of all instructions from the output of callgrind.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    line?.trim().parse().ok()
}

/// Names the toolchain that counts depend on: compiler and target.
///
/// # Errors
///
/// If the compiler cannot be run.
pub(super) fn toolchain() -> Result<String> {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(compiler).arg("--version").output();
    let told = told.context("rustc is needed, to name the toolchain")?;
    let version = String::from_utf8(told.stdout)?;
    Ok(format!("{}, {}-{}", version.trim(), env::consts::ARCH, env::consts::OS))
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_total_is_read_from_what_callgrind_writes() {
        let text = "# callgrind format\nevents: Ir\nsummary: 12\n\nfn=(1)\n0 7\n\ntotals: 1234567\n";
        assert_eq!(total(text), Some(1_234_567));
        assert_eq!(total("events: Ir\n"), None);
    }
}
