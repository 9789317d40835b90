//! A private nginx.

use std::path::Path;

use integration::tools;
use tokio::process::Command;

use super::front;

/// The files that `docs/deploy.md` shows.
pub(super) const STICKY_HASH: &str = include_str!("../../../docs/nginx/sticky-hash.conf");
pub(super) const STICKY_COOKIE: &str = include_str!("../../../docs/nginx/sticky-cookie.conf");
pub(super) const UNIX_SOCKET: &str = include_str!("../../../docs/nginx/unix-socket.conf");

/// Returns what runs nginx with a site, in the foreground.
pub(super) fn command(folder: &Path, site: &str) -> Command {
    let path = folder.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {path}/{name};"));
    // One process, which is the one to be killed.
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log stderr warn;\n\
         events {{ worker_connections 512; }}\nhttp {{ access_log off; {}\n{site} }}\n",
        temporary.concat()
    );
    let mut command = Command::new(tools::nginx());
    command
        .args(["-e", "stderr", "-p"])
        .arg(folder)
        .arg("-c")
        .arg(front::written(folder, "nginx.conf", &config));
    command
}
