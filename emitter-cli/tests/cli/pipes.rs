//! Files of keys that are pipes: reading one may wait for ever.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use crate::support::{Broker, Running};
use crate::token::{secret, serving};

const O_NONBLOCK: i32 = 0o4000;

/// Starts a server with a key, and has it reload settings whose key is a pipe. Returns the end of the pipe that the reload waits for.
async fn reloading(broker: &Broker, folder: &Path, key: &str) -> (Running, File) {
    let (server, _) = serving(broker, folder, &format!("[tokens]\nkey_files = [{key:?}]\n")).await;
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let settings = format!("drain = \"0s\"\n[tokens]\nkey_files = [{pipe:?}]\n");
    std::fs::write(folder.join("sio.toml"), settings).expect("the folder is the test's");
    server.signal("HUP").await;
    // A pipe can be opened so as soon as its reader waits, who then waits for what is written.
    let mut options = File::options();
    options.write(true).custom_flags(O_NONBLOCK);
    loop {
        match options.open(&pipe) {
            Ok(writer) => return (server, writer),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test]
async fn a_reload_that_waits_for_a_file_does_not_keep_the_server_from_ending() {
    let (folder, key) = secret();
    let broker = Broker::start().await;
    let (server, writer) = reloading(&broker, folder.path(), &key).await;
    server.signal("TERM").await;
    assert_eq!(server.finish().await.code, 0);
    drop(writer);
}

#[tokio::test]
async fn what_changes_while_a_reload_is_at_work_is_taken_over_after_it() {
    let (folder, key) = secret();
    let broker = Broker::start().await;
    let (mut server, writer) = reloading(&broker, folder.path(), &key).await;
    let settings = format!("drain = \"1s\"\n[tokens]\nkey_files = [{key:?}]\n");
    std::fs::write(folder.path().join("sio.toml"), settings).unwrap();
    server.signal("HUP").await;
    drop(writer);
    assert!(server.error_line().await.contains("nothing was reloaded"));
    assert!(server.error_line().await.contains("reloaded: drain"));
}
