//! The proxy in front of the servers.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use integration::process::Process;
use tempfile::TempDir;
use tokio::process::Command;

use super::{caddy, haproxy, nginx};
use crate::support::eventually;

/// A configuration file of `docs`, by the program that it is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Config {
    Nginx(&'static str),
    HaProxy(&'static str),
    Caddy(&'static str),
}

/// A running proxy. Dropping it kills it.
pub(super) struct Front {
    _process: Process,
    _folder: TempDir,
    pub(super) address: SocketAddr,
}

impl Front {
    /// Starts a proxy with a configuration in which each of `places` replaces what the file names.
    pub(super) async fn start(config: Config, places: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let replace_all = |text, listens: &str, listens_here: &str| {
            let text = replaced(text, listens, listens_here);
            places
                .iter()
                .fold(text, |text, (named, place)| replaced(&text, named, place))
        };
        let (name, command) = match config {
            Config::Nginx(site) => {
                let site = replace_all(site, "listen 8080;", &format!("listen {address};"));
                ("nginx", nginx::command(folder.path(), &site))
            }
            Config::HaProxy(file) => {
                let text = replace_all(file, "bind :8080", &format!("bind {address}"));
                ("haproxy", haproxy::command(folder.path(), &text))
            }
            Config::Caddy(site) => {
                let site = replace_all(site, "http://:8080 {", &format!("http://{address} {{"));
                ("caddy", caddy::command(folder.path(), &site))
            }
        };
        let process = listening(name, command, address).await;
        Self {
            _process: process,
            _folder: folder,
            address,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn listening(name: &str, command: Command, address: SocketAddr) -> Process {
    let process = Process::spawn(name, command);
    let pid = process.pid().expect("it was just started");
    let status = format!("/proc/{pid}/stat");
    eventually("the proxy listens", || {
        let has_ended = std::fs::read_to_string(&status).is_ok_and(|stat| stat.contains(") Z "));
        assert!(!has_ended, "{name} has ended: {}", process.stderr());
        TcpStream::connect(address).is_ok()
    })
    .await;
    process
}

/// Writes a configuration, and returns its path.
pub(super) fn written(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// Returns `text` with `to` in the place of `from`, which must be there.
pub(super) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the file lacks {from}");
    text.replace(from, to)
}
