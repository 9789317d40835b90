//! A private HAProxy.

use std::path::Path;

use integration::tools;
use tokio::process::Command;

use super::front;

/// The file that `docs/deploy.md` shows.
pub(super) const STICKY: &str = include_str!("../../../docs/haproxy/sticky.cfg");

/// … and the one for a rolling restart.
pub(super) const ROLLING: &str = include_str!("../../../docs/haproxy/rolling.cfg");

/// Returns what runs HAProxy with a configuration: one process, in the foreground.
pub(super) fn command(folder: &Path, config: &str) -> Command {
    let mut command = Command::new(tools::haproxy());
    command
        .arg("-db")
        .arg("-f")
        .arg(front::written(folder, "haproxy.cfg", config));
    command
}
