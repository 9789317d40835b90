//! How the command is installed: man pages, the systemd unit, the Debian package, the container image, the compose files.

mod debian;
mod docker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::tools;

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
