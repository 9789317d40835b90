//! Brokers in containers.

use std::path::Path;
use std::time::Duration;

use testcontainers::core::{CmdWaitFor, ContainerPort, ExecCommand, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::time::timeout;

use super::guard::Guard;

/// The longest time for pulling the image and starting the container. A registry that never responds must not
/// hold the tests up for longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// The longest a container lives, in seconds, if the process that should remove it is gone.
const LIFETIME: &str = "7200";

/// The image, command and settings of a container.
pub(super) struct Spec<'a> {
    /// The image's reference, as `name:tag`.
    pub(super) image: &'a str,
    /// The port the broker listens on in the container.
    pub(super) port: u16,
    /// The line on standard output that shows that it is ready, if it is to be waited for.
    pub(super) ready: Option<&'a str>,
    /// The broker's command line.
    pub(super) command: &'a [&'a str],
}

/// A running container, removed with the process.
#[derive(Debug)]
pub(super) struct Container {
    /// The address of the broker, as `host:port`.
    pub(super) address: String,
    container: ContainerAsync<GenericImage>,
    _guard: Guard,
}

impl Container {
    /// Starts a container, or says why there can be none.
    pub(super) async fn start(spec: &Spec<'_>) -> Result<Self, String> {
        if !daemon_may_answer() {
            return Err("no Docker daemon answers".to_owned());
        }
        match timeout(PATIENCE, Self::try_start(spec)).await {
            Ok(result) => result.map_err(|error| format!("Docker cannot run {}: {error}", spec.image)),
            Err(_) => Err(format!("Docker did not get {} to run within {PATIENCE:?}", spec.image)),
        }
    }

    /// Runs a command of a shell in the container.
    pub(super) async fn run(&self, command: &str) -> Result<(), String> {
        let command = ExecCommand::new(["sh", "-c", command]).with_cmd_ready_condition(CmdWaitFor::exit_code(0));
        let done = self.container.exec(command).await;
        done.map(drop)
            .map_err(|error| format!("a command in a container failed: {error}"))
    }

    async fn try_start(spec: &Spec<'_>) -> Result<Self, testcontainers::TestcontainersError> {
        let (name, tag) = spec.image.rsplit_once(':').unwrap_or((spec.image, "latest"));
        let command = ["timeout", LIFETIME].iter().chain(spec.command).copied();
        let mut image = GenericImage::new(name, tag).with_exposed_port(ContainerPort::Tcp(spec.port));
        if let Some(line) = spec.ready {
            image = image.with_wait_for(WaitFor::message_on_stdout(line));
        }
        let container = image.with_cmd(command).start().await?;
        let guard = Guard::run("docker rm --force --volumes \"$1\"", container.id());
        let host = container.get_host().await?.to_string();
        // The port is one of IPv4, which the name need not lead to.
        let host = if host == "localhost" { "127.0.0.1" } else { &host };
        let port = container.get_host_port_ipv4(spec.port).await?;
        Ok(Self {
            address: format!("{host}:{port}"),
            container,
            _guard: guard,
        })
    }
}

/// Returns false if an attempt is known to fail.
fn daemon_may_answer() -> bool {
    let rootless = std::env::var_os("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("docker.sock"));
    let home = std::env::var_os("HOME").map(|folder| Path::new(&folder).join(".docker/run/docker.sock"));
    std::env::var_os("DOCKER_HOST").is_some()
        || Path::new("/var/run/docker.sock").exists()
        || [rootless, home].into_iter().flatten().any(|socket| socket.exists())
}
