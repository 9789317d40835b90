//! The script `./test` on bare machines, simulated by folders of stubs: what it says, and that nothing
//! stays behind.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// Programs of the real machine that the script itself is written with.
const REAL: [&str; 13] = [
    "bash",
    "cat",
    "chmod",
    "cp",
    "dirname",
    "flock",
    "grep",
    "ln",
    "mkdir",
    "rm",
    "sha256sum",
    "sleep",
    "env",
];
/// Files that tell the script what to get.
const WISHES: [&str; 5] = [
    "test",
    "integration/clients/requirements.txt",
    "integration/clients/package.json",
    "integration/kafka/pom.xml",
    "integration/kafka/server.properties",
];
/// Stands for each program that the script gets or calls. `FAILS` names the one that fails, `WAITS`
/// the one that tells its id and then hangs.
const STUB: &str = r#"#!/usr/bin/env bash
name=${0##*/}
[ "$name $*" = "python3 --version" ] && echo "Python 3" && exit
[ "$name" = id ] && echo "${STUB_USER:-0}" && exit
[ "$name $2" = "python pip" ] && name=pip
[ "$name" = apt-get ] && name=apt-$1
[ "$name" = "$FAILS" ] && exit 1
[ "$name" = "$WAITS" ] && echo "waiting: $$" >&2 && exec sleep 60
case $name in
  apt-update | apt-install)
    echo "stub: $name" >&2
    for command in openssl cc make redis-server rabbitmq-server postgres pgbouncer nginx haproxy caddy curl promtool systemd-analyze sidekiq java mvn python3 node npm chromium; do
      ln -sf "$STUBS/stub" "$STUBS/$command"
    done ;;
  python3) [ "$2" = venv ] && mkdir -p "$3/bin" && ln -s "$STUBS/stub" "$3/bin/python" ;;
esac
exit 0
"#;

/// A machine with Rust and nothing else.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for file in WISHES {
            let copy = folder.path().join(file);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(root.join(file), copy).unwrap();
        }
        let machine = Self { folder };
        std::fs::create_dir(machine.path("stubs")).unwrap();
        std::fs::write(machine.path("stubs/stub"), STUB).unwrap();
        std::fs::set_permissions(machine.path("stubs/stub"), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["cargo", "apt-get", "id"] {
            symlink("stub", machine.path("stubs").join(name)).unwrap();
        }
        for name in REAL {
            symlink(real(name), machine.path("stubs").join(name)).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn policy(&self) -> PathBuf {
        self.path("policy-rc.d")
    }

    /// `./test` with arguments, with signals as a terminal's programs have them.
    fn script(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(real("env"));
        command
            .args(["--default-signal=HUP,INT,TERM", "bash", "./test"])
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("stubs"))
            .env("STUBS", self.path("stubs"))
            .env("HOME", self.folder.path())
            .env("SIO_TEST_POLICY_FILE", self.policy())
            .env("SIO_TEST_POSTGRES_PROGRAMS", self.path("postgresql"))
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `./test` to its end.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (ExitStatus, String) {
        let output = self.script(arguments, variables).output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }

    /// Runs `./test`, and sends it a signal while the program of that name hangs.
    ///
    /// Returns what it said.
    fn interrupted(&self, program: &str, signal: &str) -> (ExitStatus, String) {
        let mut child = self.script(&["--prepare"], &[("WAITS", program)]).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut said = String::new();
        let hanging = lines.by_ref().find_map(|line| {
            said += &line;
            line.strip_prefix("waiting: ").map(str::to_owned)
        });
        if hanging.is_some() {
            send(signal, &child.id().to_string());
        }
        let status = child.wait().unwrap();
        let hanging = hanging.unwrap_or_else(|| panic!("{program} was not called: {said}"));
        assert!(!send("0", &hanging), "{program} goes on");
        (status, said)
    }
}

fn real(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places
        .find(|place| place.exists())
        .unwrap_or_else(|| panic!("{name} is not installed"))
}

/// Sends a signal; returns whether there is such a process.
fn send(signal: &str, process: &str) -> bool {
    let mut command = Command::new("kill");
    let status = command
        .args([&format!("-{signal}"), process])
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

#[test]
fn no_install_names_all_that_is_missing_and_touches_nothing() {
    let machine = Machine::bare();
    let (status, said) = machine.run(&["--no-install"], &[]);
    assert_eq!(status.code(), Some(1), "{said}");
    for missing in [
        "openssl",
        "gcc",
        "redis-server",
        "a PostgreSQL server: postgresql",
        "chromium",
        "prometheus",
        "npm",
        "maven",
        "/.test-env:",
        "kafka:",
        "venv:",
        "node:",
    ] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    assert!(
        said.lines().last().unwrap().contains("apt-get install openssl gcc "),
        "{said}"
    );
    assert!(!said.contains("stub: "), "{said}");
    assert!(!machine.path(".test-env").exists());
}

#[test]
fn a_user_who_may_not_install_gets_the_whole_list() {
    let machine = Machine::bare();
    let (status, said) = machine.run(&["--prepare"], &[("STUB_USER", "1000")]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("by root only") && said.contains("chromium") && said.contains("venv:"),
        "{said}"
    );
    assert!(
        !said.contains("stub: ") && !machine.path(".test-env").exists(),
        "{said}"
    );
}

#[test]
fn what_will_be_installed_and_where_is_said_before_it_happens() {
    let machine = Machine::bare();
    let (status, said) = machine.run(&["--prepare"], &[]);
    assert!(status.success(), "{said}");
    let (announced, done) = said.split_once("stub: ").expect("apt-get was called");
    assert!(announced.contains("a Redis server: redis-server"), "{said}");
    assert!(
        announced.contains(machine.path(".test-env").to_str().unwrap()),
        "{said}"
    );
    assert!(done.contains("making .test-env/venv"), "{said}");
    for folder in ["kafka", "venv", "node"] {
        assert!(
            machine.path(".test-env").join(folder).join(".made-from").exists(),
            "{folder}"
        );
    }
    assert!(!machine.policy().exists());

    let (status, said) = machine.run(&["--prepare", "--no-install"], &[]);
    assert!(status.success() && said.is_empty(), "the second time: {said}");
}

#[test]
fn a_failed_install_leaves_no_policy_behind() {
    let machine = Machine::bare();
    let (status, said) = machine.run(&["--prepare"], &[("FAILS", "apt-install")]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("could not install"), "{said}");
    assert!(!machine.policy().exists());
}

#[test]
fn an_interrupted_install_ends_apt_get_and_leaves_no_policy_behind() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let machine = Machine::bare();
        let (status, said) = machine.interrupted("apt-install", signal);
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(!machine.policy().exists(), "{signal}");
    }
}

#[test]
fn a_policy_of_the_machine_itself_stays() {
    let machine = Machine::bare();
    std::fs::write(machine.policy(), "its own").unwrap();
    let (status, said) = machine.run(&["--prepare"], &[("FAILS", "apt-install")]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(std::fs::read_to_string(machine.policy()).unwrap(), "its own");
}

#[test]
fn a_folder_is_made_whole_or_not_at_all() {
    for (program, folder) in [("mvn", "kafka"), ("pip", "venv"), ("npm", "node")] {
        let machine = Machine::bare();
        let (status, said) = machine.run(&["--prepare"], &[("FAILS", program)]);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            !machine.path(".test-env").join(folder).exists(),
            "{program} failed: {said}"
        );

        let (status, said) = machine.interrupted(program, "INT");
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(
            !machine.path(".test-env").join(folder).exists(),
            "{program} was interrupted"
        );
    }
}
