//! How the command is installed: man pages, the systemd unit, the container image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::tools;

use crate::support::eventually;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Runs a program, which must succeed.
fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {} {said}", output.status);
    output
}

/// The names of the commands that `sio --help` lists.
fn commands() -> Vec<String> {
    let help = succeeds(Command::new(tools::sio()).arg("--help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn every_command_has_a_man_page_and_the_first_page_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    succeeds(Command::new(tools::sio()).args(["man", "--output"]).arg(&pages));
    let main = succeeds(Command::new(tools::sio()).arg("man")).stdout;
    assert_eq!(
        String::from_utf8_lossy(&main),
        fs::read_to_string(pages.join("sio.1")).unwrap()
    );
    let commands = commands();
    assert!(commands.iter().any(|name| name == "emit"), "{commands:?}");
    for name in commands.iter().filter(|name| *name != "help") {
        let page = fs::read_to_string(pages.join(format!("sio-{name}.1"))).unwrap_or_default();
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        let listed = format!("sio\\-{}(1)", name.replace('-', "\\-"));
        assert!(
            String::from_utf8_lossy(&main).contains(&listed),
            "{listed} is not in sio(1)"
        );
    }
}

#[test]
fn systemd_accepts_the_unit_and_the_files_it_names() {
    let unit = fs::read_to_string(root().join("packaging/systemd/sio.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/sio serve"), "{unit}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sio.service");
    let here = tools::sio().display().to_string();
    fs::write(&path, unit.replace("/usr/bin/sio", &here)).unwrap();
    // What it does not know it tells on standard error, with exit code 0.
    let verified = succeeds(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path));
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_it: Vec<_> = said.lines().filter(|line| line.contains("sio.service")).collect();
    assert!(about_it.is_empty(), "{about_it:?}");
    let broken = fs::read_to_string(&path).unwrap().replace("Type=exec", "Type=exact");
    fs::write(&path, broken).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output();
    let said = verified.unwrap().stderr;
    assert!(
        String::from_utf8_lossy(&said).contains("sio.service"),
        "a fault is not told"
    );
}

/// Docker's command, if its daemon answers.
fn docker() -> Option<Docker> {
    let answers = Command::new("docker").arg("info").output();
    answers.ok().filter(|output| output.status.success()).map(|_| Docker)
}

struct Docker;

impl Docker {
    /// Runs a command of it and returns what it says; an error holds what it says of its failure.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("docker").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.success() {
            true => Ok(said),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// A container that is removed when it is dropped.
struct Container(Docker, String);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.run(&["rm", "--force", &self.1]);
    }
}

/// The base image is `SIO_TEST_BASE_IMAGE`, by default that of the Containerfile. Without Docker, or without that image, nothing is
/// checked, unless `SIO_REQUIRE_DOCKER=1`.
#[tokio::test]
async fn the_image_runs_without_root_and_docker_sees_its_health() {
    let is_required = std::env::var("SIO_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
    let Some(docker) = docker() else {
        assert!(!is_required, "SIO_REQUIRE_DOCKER is set, and no Docker daemon answers");
        return eprintln!("no Docker daemon answers: the image is not built");
    };
    let base = std::env::var("SIO_TEST_BASE_IMAGE").unwrap_or_else(|_| "debian:bookworm-slim".to_owned());
    if let Err(why) = docker
        .run(&["image", "inspect", &base])
        .or_else(|_| docker.run(&["pull", &base]))
    {
        assert!(
            !is_required,
            "SIO_REQUIRE_DOCKER is set, and {base} cannot be had: {why}"
        );
        return eprintln!("{base} cannot be had: the image is not built: {why}");
    }
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
    let image = docker.run(&build).unwrap();
    // It listens on all addresses, and is told neither keys nor that it is open.
    let refused = docker.run(&["run", "--rm", &image]).unwrap_err();
    assert!(refused.contains("--open"), "{refused}");
    let run = ["run", "--detach", "--env", "SIO_OPEN=true", &image];
    let container = docker.run(&run).unwrap();
    let running = Container(docker, container.clone());
    let docker = &running.0;
    let health = || {
        docker
            .run(&["inspect", "--format", "{{.State.Health.Status}}", &container])
            .unwrap()
    };
    eventually("Docker sees its health", || health() == "healthy").await;
    assert_ne!(docker.run(&["exec", &container, "id", "-u"]).unwrap(), "0");
    docker.run(&["stop", &container]).unwrap();
    let code = docker
        .run(&["inspect", "--format", "{{.State.ExitCode}}", &container])
        .unwrap();
    assert_eq!(code, "0", "it ends in order");
}
