//! The Debian package that `tools/verb deb` makes: what its metadata names is there, and, where cargo-deb is installed, what it holds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::tools;
use serde_json::Value;

use super::{root, succeeds};

/// What a package is made of, as `tools/verb dist` leaves it: this repository, and a folder `target` around the built `sio`.
struct Tree(tempfile::TempDir);

impl Tree {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path();
        for entry in fs::read_dir(root()).unwrap().map(Result::unwrap) {
            if !["target", "emitter-cli", ".git"]
                .iter()
                .any(|name| entry.file_name() == *name)
            {
                symlink(entry.path(), tree.join(entry.file_name())).unwrap();
            }
        }
        // Not a link: `../` in its metadata leads to `target` here.
        fs::create_dir(tree.join("emitter-cli")).unwrap();
        for name in ["Cargo.toml", "src", "tests"] {
            symlink(
                root().join("emitter-cli").join(name),
                tree.join("emitter-cli").join(name),
            )
            .unwrap();
        }
        let dist = tree.join("target/dist");
        fs::create_dir_all(dist.join("completions")).unwrap();
        fs::create_dir_all(tree.join("target/release")).unwrap();
        fs::copy(tools::sio(), tree.join("target/release/sio")).unwrap();
        succeeds(
            Command::new(tools::sio())
                .args(["man", "--output"])
                .arg(dist.join("man")),
        );
        for shell in ["bash", "zsh", "fish"] {
            let script = succeeds(Command::new(tools::sio()).args(["completions", shell])).stdout;
            fs::write(dist.join("completions").join(format!("sio.{shell}")), script).unwrap();
        }
        Self(folder)
    }

    /// A command of cargo in the crate of `sio`.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo
            .args(arguments)
            .current_dir(self.0.path().join("emitter-cli"))
            .env("CARGO_TARGET_DIR", self.0.path().join("target"));
        cargo
    }

    /// Returns the version of the crate and the metadata of the package.
    fn metadata(&self) -> (String, Value) {
        let metadata = [
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--locked",
            "--offline",
        ];
        let metadata: Value = serde_json::from_slice(&succeeds(&mut self.cargo(&metadata)).stdout).unwrap();
        let mut packages = metadata["packages"].as_array().unwrap().iter();
        let package = packages.find(|package| package["name"] == "sio-emitter-cli").unwrap();
        let version = package["version"].as_str().unwrap().to_owned();
        (version, package["metadata"]["deb"].clone())
    }

    /// Returns where a path of the metadata leads.
    fn path(&self, named: &str) -> PathBuf {
        match named.starts_with("target/release/") {
            true => self.0.path().join(named),
            false => self.0.path().join("emitter-cli").join(named),
        }
    }
}

/// Returns the files of a folder that `pattern` means, a file or one with a `*` in its name.
fn files(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap().to_str().unwrap();
    let Some((before, after)) = name.split_once('*') else {
        return Some(pattern.to_owned())
            .filter(|path| path.is_file())
            .into_iter()
            .collect();
    };
    let entries = fs::read_dir(pattern.parent().unwrap()).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(before) && name.ends_with(after)
        })
        .collect()
}

#[test]
fn the_metadata_of_the_debian_package_names_what_is_there() {
    let tree = Tree::make();
    let (version, deb) = tree.metadata();
    let assets = deb["assets"].as_array().unwrap();
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        assert!(!files(&tree.path(source)).is_empty(), "{source}: no such file");
    }
    for file in deb["conf-files"].as_array().unwrap() {
        let inside = file.as_str().unwrap().trim_start_matches('/');
        assert!(assets.iter().any(|asset| asset[1] == inside), "{file} is not an asset");
    }
    let changelog = fs::read_to_string(tree.path(deb["changelog"].as_str().unwrap())).unwrap();
    let newest = changelog.lines().next().unwrap();
    assert!(
        newest.starts_with(&format!("sio ({version}-1) ")),
        "{newest}: the crate has {version}"
    );
    assert!(tree.path(deb["maintainer-scripts"].as_str().unwrap()).is_dir());
    let units = tree.path(deb["systemd-units"]["unit-scripts"].as_str().unwrap());
    assert!(units.join("sio.service").is_file());
}

/// Without cargo-deb nothing is checked.
#[test]
fn the_debian_package_holds_command_pages_unit_and_settings() {
    let is_there = Command::new("cargo").args(["deb", "--version"]).output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        return eprintln!("not checked: cargo-deb is missing");
    }
    let tree = Tree::make();
    let package = tree.0.path().join("sio.deb").display().to_string();
    let build = [
        "deb",
        "--no-build",
        "--strip",
        "--fast",
        "--locked",
        "--offline",
        "--output",
        &package,
    ];
    succeeds(&mut tree.cargo(&build));

    let listed = succeeds(Command::new("dpkg-deb").args(["--contents", &package])).stdout;
    let listed = String::from_utf8(listed).unwrap();
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/bin/sio"),
        ("-rw-r-----", "./etc/sio/sio.env"),
        ("-rw-r--r--", "./usr/lib/systemd/system/sio.service"),
        ("-rw-r--r--", "./usr/share/man/man1/sio.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/sio-emit.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/sio"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_sio"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/sio.fish"),
        ("-rw-r--r--", "./usr/share/doc/sio/changelog.Debian.gz"),
    ] {
        let is_it =
            |line: &str| line.starts_with(mode) && line.contains(" 0/0 ") && line.ends_with(&format!(" {path}"));
        assert!(listed.lines().any(is_it), "{mode} {path} is not in\n{listed}");
    }

    let control = tree.0.path().join("control");
    succeeds(Command::new("dpkg-deb").args(["--control", &package]).arg(&control));
    assert_eq!(
        fs::read_to_string(control.join("conffiles")).unwrap(),
        "/etc/sio/sio.env\n"
    );
    // An upgrade restarts a service that runs, a removal stops it.
    for (script, wanted) in [("postinst", "try-restart"), ("prerm", "stop"), ("postrm", "purge")] {
        let text = fs::read_to_string(control.join(script)).unwrap_or_default();
        assert!(text.contains(&format!(" {wanted} sio.service ")), "{script}: {text}");
    }
}
