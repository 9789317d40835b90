//! Files of keys that are pipes: reading one may wait for ever.

use crate::support::Broker;
use crate::token::{secret, serving};

#[tokio::test]
async fn a_reload_that_waits_for_a_file_does_not_keep_the_server_from_ending() {
    use std::os::unix::fs::OpenOptionsExt;

    const O_NONBLOCK: i32 = 0o4000;

    let (folder, key) = secret();
    let broker = Broker::start().await;
    let (server, _) = serving(&broker, folder.path(), &format!("[tokens]\nkey_files = [{key:?}]\n")).await;
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let settings = format!("drain = \"0s\"\n[tokens]\nkey_files = [{pipe:?}]\n");
    std::fs::write(folder.path().join("sio.toml"), settings).unwrap();
    server.signal("HUP").await;
    // A pipe can be opened so as soon as its reader waits, who then waits for what is written.
    let mut options = std::fs::OpenOptions::new();
    options.write(true).custom_flags(O_NONBLOCK);
    let writer = loop {
        match options.open(&pipe) {
            Ok(writer) => break writer,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    server.signal("TERM").await;
    assert_eq!(server.finish().await.code, 0);
    drop(writer);
}
