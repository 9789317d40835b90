//! An nginx of the test's own.

use std::net::{SocketAddr, TcpListener, TcpStream};

use integration::process::Process;
use integration::tools;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::eventually;

/// The files that `docs/deploy.md` shows.
pub(super) const STICKY_HASH: &str = include_str!("../../../docs/nginx/sticky-hash.conf");
pub(super) const STICKY_COOKIE: &str = include_str!("../../../docs/nginx/sticky-cookie.conf");
pub(super) const UNIX_SOCKET: &str = include_str!("../../../docs/nginx/unix-socket.conf");

/// A running nginx. Dropping it kills it.
pub(super) struct Nginx {
    _process: Process,
    _folder: TempDir,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// Starts nginx with a site, in which each of `places` is put in the place of what the file names.
    pub(super) async fn start(site: &str, places: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let site = replaced(site, "listen 8080;", &format!("listen {address};"));
        let site = places
            .iter()
            .fold(site, |site, (named, place)| replaced(&site, named, place));
        let path = folder.path().display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {path}/{name};"));
        // One process, which is the one to be killed.
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr warn;\n\
             events {{ worker_connections 512; }}\nhttp {{ access_log off; {}\n{site} }}\n",
            temporary.concat()
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(tools::nginx());
        command
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&file);
        let process = Process::spawn("nginx", command);
        eventually("nginx listens", || {
            assert!(process.pid().is_some(), "{}", process.stderr());
            TcpStream::connect(address).is_ok()
        })
        .await;
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

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the file says nothing of {from}");
    text.replace(from, to)
}
