//! The settings of `sio serve`: files, their mistakes, `sio config`, and SIGHUP.

#![allow(clippy::unwrap_used, reason = "in a test, what fails is to panic")]

use std::path::PathBuf;

use tempfile::TempDir;

use crate::serve::address;
use crate::support::{Broker, Client, Running, Sio, http_get_with};

/// A folder with a file of settings.
struct Settings {
    _folder: TempDir,
    path: PathBuf,
}

impl Settings {
    fn new(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sio.toml");
        let settings = Settings { _folder: folder, path };
        settings.write(text);
        settings
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

#[tokio::test]
async fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_name() {
    let settings = Settings::new("listen = \"127.0.0.1:0\"\n\n[limits]\npayloads = 3\n");
    for line in [&["serve"][..], &["config", "check"]] {
        let done = Sio::new(line).args(&["--config", settings.path()]).run("").await;
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{line:?}");
        let expected = format!(
            "{}:4: unknown key \"limits.payloads\"; did you mean \"limits.payload\"?",
            settings.path()
        );
        assert!(done.stderr.contains(&expected), "{line:?}: {}", done.stderr);
    }
}

#[tokio::test]
async fn a_checked_configuration_is_shown_with_the_place_of_each_value_and_without_secrets() {
    let settings = Settings::new("drain = \"5s\"\nurl = \"redis://me:hunter2@h\"\n");
    let sio = Sio::new(&["config", "check", "--channel", "c"]);
    let done = sio
        .env("SIO_CONFIG", settings.path())
        .env("SIO_PAHT", "/x/")
        .env("SIO_PATH", "/chat/")
        .run("")
        .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    for part in [
        "drain = \"5s\"",
        "sio.toml:1",
        "channel = \"c\"  # --channel",
        "path = \"/chat/\"  # SIO_PATH",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    assert!(
        done.stdout.contains("can be used") && !done.stdout.contains("hunter2"),
        "{}",
        done.stdout
    );
    assert!(
        done.stderr.contains("SIO_PAHT") && done.stderr.contains("SIO_PATH"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn the_defaults_are_a_file_that_can_be_used() {
    let defaults = Sio::new(&["config", "defaults"]).run("").await;
    assert!(
        defaults.code == 0 && defaults.stdout.contains("#drain = \"20s\""),
        "{}",
        defaults.stdout
    );
    let settings = Settings::new(&defaults.stdout);
    let done = Sio::new(&["config", "check", "--config", settings.path()])
        .run("")
        .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let table = Sio::new(&["config", "doc"]).run("").await;
    assert!(
        table
            .stdout
            .contains("| `limits.payload` | `--max-payload` `SIO_LIMITS_PAYLOAD` |"),
        "{}",
        table.stdout
    );
}

async fn admits(addr: &str, origin: &str) -> bool {
    let path = "/socket.io/?EIO=4&transport=polling";
    let answer = http_get_with(addr, path, &format!("Origin: {origin}\r\n")).await;
    answer.starts_with("HTTP/1.1 200")
}

/// Sends SIGHUP, and returns what the server says until it is done with it.
async fn reload(server: &mut Running) -> Vec<String> {
    server.signal("HUP").await;
    let mut said = Vec::new();
    loop {
        let line = server.error_line().await;
        let is_last = line.contains("reloaded");
        said.push(line);
        if is_last {
            return said;
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sighup_takes_over_what_can_change_and_names_what_cannot() {
    let broker = Broker::start().await;
    let settings = Settings::new("origins = [\"https://old.example\"]\n");
    let line = [
        "serve",
        "--config",
        settings.path(),
        "--listen",
        "127.0.0.1:0",
        "--url",
        &broker.url,
    ];
    // The tests may be run by a command that ignores it.
    let mut server = Sio::under(&["env", "--default-signal=HUP"], &line).start();
    let addr = address(&mut server).await;
    assert!(admits(&addr, "https://old.example").await && !admits(&addr, "https://new.example").await);

    settings.write("origins = [\"https://new.example\"]\npath = \"/other/\"\n");
    let said = reload(&mut server).await.concat();
    assert!(said.contains("only a restart takes them over: path"), "{said}");
    assert!(said.contains("sio: reloaded: origins"), "{said}");
    assert!(!admits(&addr, "https://old.example").await && admits(&addr, "https://new.example").await);

    settings.write("origins = [\"https://new.example\"]\n[log]\nlevel = \"info\"\n");
    assert!(reload(&mut server).await.concat().contains("sio: reloaded: log.level"));
    let _client = Client::connect(&addr, "").await;
    while !server.error_line().await.contains("client connected") {}

    settings.write("orgins = []\n");
    let said = reload(&mut server).await.concat();
    assert!(
        said.contains("nothing was reloaded") && said.contains("did you mean \"origins\"?"),
        "{said}"
    );
    assert!(admits(&addr, "https://new.example").await);
    server.signal("TERM").await;
    assert_eq!(server.finish().await.code, 0);
}
