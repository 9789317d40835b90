//! A private Caddy.

use std::path::Path;

use integration::tools;
use tokio::process::Command;

use super::front;

/// The file that `docs/deploy.md` shows.
pub(super) const STICKY: &str = include_str!("../../../docs/caddy/Caddyfile");

/// Returns what runs Caddy with a site: without its administration, and with its state in the folder.
pub(super) fn command(folder: &Path, site: &str) -> Command {
    let config = format!("{{\n\tadmin off\n\tauto_https off\n}}\n{site}");
    let mut command = Command::new(tools::caddy());
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(front::written(folder, "Caddyfile", &config))
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_DATA_HOME", folder);
    command
}
