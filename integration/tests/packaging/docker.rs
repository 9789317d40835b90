//! The container image and the compose files. Without Docker, or without an image that they need, nothing is checked, unless
//! `SIO_REQUIRE_DOCKER=1`.

use std::fmt::Display;
use std::fs;
use std::process::Command;

use integration::process::Process;
use integration::{DEADLINE, tools};

use super::root;
use crate::support::eventually;

/// Says why nothing is checked; fails if Docker is required.
fn skip(why: impl Display) {
    let is_required = std::env::var("SIO_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
    assert!(!is_required, "SIO_REQUIRE_DOCKER is set: {why}");
    eprintln!("not checked: {why}");
}

/// Docker's command.
#[derive(Clone, Copy)]
struct Docker;

impl Docker {
    /// Returns it if its daemon answers.
    fn find() -> Result<Self, String> {
        Self.run(&["info"])
            .map(|_| Self)
            .map_err(|_| "no Docker daemon answers".to_owned())
    }

    /// Runs a command of it and returns what it says; an error holds what it says of its failure.
    fn run(self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("docker")
            .args(arguments)
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.success() {
            true => Ok(said),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Pulls an image unless it is there.
    fn have(self, image: &str) -> Result<(), String> {
        self.run(&["image", "inspect", image])
            .or_else(|_| self.run(&["pull", image]))
            .map(drop)
            .map_err(|why| format!("the image {image} cannot be had: {why}"))
    }

    /// Builds the image of the Containerfile around the built `sio` and returns its id. The base image is `SIO_TEST_BASE_IMAGE`,
    /// by default that of the Containerfile.
    fn image(self) -> Result<String, String> {
        let base = std::env::var("SIO_TEST_BASE_IMAGE").unwrap_or_else(|_| "debian:bookworm-slim".to_owned());
        self.have(&base)?;
        let context = tempfile::tempdir().unwrap();
        fs::create_dir_all(context.path().join("target/dist")).unwrap();
        fs::copy(tools::sio(), context.path().join("target/dist/sio")).unwrap();
        let file = root().join("packaging/Containerfile").display().to_string();
        let (base, place) = (format!("BASE={base}"), context.path().display().to_string());
        let build = [
            "build",
            "--quiet",
            "--file",
            &file,
            "--target",
            "prebuilt",
            "--build-arg",
            &base,
            &place,
        ];
        Ok(self.run(&build).unwrap())
    }

    /// Returns a field of a container's description.
    fn inspect(self, container: &str, field: &str) -> String {
        self.run(&["inspect", "--format", &format!("{{{{{field}}}}}"), container])
            .unwrap()
    }
}

/// A container that is removed when it is dropped.
struct Container(Docker, String);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.run(&["rm", "--force", &self.1]);
    }
}

#[tokio::test]
async fn the_image_runs_without_root_and_docker_sees_its_health() {
    let (docker, image) = match Docker::find().and_then(|docker| Ok((docker, docker.image()?))) {
        Ok(both) => both,
        Err(why) => return skip(why),
    };
    // It listens on all addresses, and is told neither keys nor that it is open.
    let refused = docker.run(&["run", "--rm", &image]).unwrap_err();
    assert!(refused.contains("--open"), "{refused}");
    let run = ["run", "--detach", "--env", "SIO_OPEN=true", &image];
    let running = Container(docker, docker.run(&run).unwrap());
    let health = || docker.inspect(&running.1, ".State.Health.Status");
    eventually("Docker sees its health", || health() == "healthy").await;
    assert_ne!(docker.run(&["exec", &running.1, "id", "-u"]).unwrap(), "0");
    docker.run(&["stop", &running.1]).unwrap();
    assert_eq!(docker.inspect(&running.1, ".State.ExitCode"), "0", "it ends in order");
}

/// The services of a compose file, which are removed when this is dropped.
struct Services {
    docker: Docker,
    file: String,
    project: String,
    /// Holds the file.
    _folder: tempfile::TempDir,
}

impl Services {
    /// Prepares those of `packaging/compose/{broker}.yaml`, with the image around the built `sio` and free ports.
    fn of(broker: &str) -> Result<Self, String> {
        let docker = Docker::find()?;
        docker
            .run(&["compose", "version"])
            .map_err(|_| "Docker has no `docker compose`".to_owned())?;
        let file = fs::read_to_string(root().join(format!("packaging/compose/{broker}.yaml"))).unwrap();
        let images = file.lines().filter_map(|line| line.trim().strip_prefix("image: "));
        for image in images.filter(|image| *image != "sio") {
            docker.have(image)?;
        }
        let mut here = file.replace("image: sio", &format!("image: {}", docker.image()?));
        for port in ["127.0.0.1:3001:3000", "127.0.0.1:3002:3000"] {
            assert!(here.contains(port), "{here}");
            here = here.replace(port, "127.0.0.1::3000");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compose.yaml");
        fs::write(&path, here).unwrap();
        Ok(Self {
            docker,
            file: path.display().to_string(),
            project: format!("sio-test-{broker}-{}", std::process::id()),
            _folder: folder,
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut all = vec!["compose", "--file", &self.file, "--project-name", &self.project];
        all.extend(arguments);
        self.docker.run(&all)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.run(&["down", "--volumes", "--timeout", "1"]);
    }
}

/// An event that is emitted inside the one server reaches a client of the other; both end in order.
async fn events_pass_between_the_servers_of(broker: &str) {
    let services = match Services::of(broker) {
        Ok(services) => services,
        Err(why) => return skip(why),
    };
    let up = ["up", "--detach", "--no-build", "--wait", "--wait-timeout", "180"];
    services.run(&up).unwrap_or_else(|why| {
        let logs = services.run(&["logs", "--tail", "20"]).unwrap_or_default();
        panic!("{why}\n{logs}");
    });
    let address = services.run(&["port", "two", "3000"]).unwrap();
    let mut connect = tokio::process::Command::new(tools::sio());
    connect.args(["connect", &format!("http://{address}/?room=lobby")]);
    let mut client = Process::spawn("sio connect", connect);
    client
        .expect_line(DEADLINE, |line| line.contains(r#""type":"connect""#))
        .await;
    let emit = [
        "exec",
        "-T",
        "one",
        "sio",
        "emit",
        "--room",
        "lobby",
        "news",
        r#""hello""#,
    ];
    services.run(&emit).unwrap();
    client
        .expect_line(DEADLINE, |line| line.contains(r#""args":["hello"]"#))
        .await;
    let containers = ["one", "two"].map(|server| services.run(&["ps", "--quiet", server]).unwrap());
    services.run(&["stop", "one", "two"]).unwrap(); // the client is still there
    for container in &containers {
        assert_eq!(services.docker.inspect(container, ".State.ExitCode"), "0");
    }
}

#[tokio::test]
async fn the_compose_file_with_redis_carries_events() {
    events_pass_between_the_servers_of("redis").await;
}

#[tokio::test]
async fn the_compose_file_with_rabbitmq_carries_events() {
    events_pass_between_the_servers_of("rabbitmq").await;
}

#[tokio::test]
async fn the_compose_file_with_kafka_carries_events() {
    events_pass_between_the_servers_of("kafka").await;
}
