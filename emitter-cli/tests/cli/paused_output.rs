//! Standard output and standard error that are full pipes whose reader pauses.

use std::io::{PipeReader, Read, Write};
use std::process::Stdio;
use std::thread;

use crate::support::{Broker, Client, Sio, dead_url, free_address, http_get, reaches_a_client};

/// A pipe that is full until it is read: what fills it goes on filling it for as long as it has room.
fn paused() -> (Stdio, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filling = writer.try_clone().expect("a pipe");
    // Ends with an error, once the reader has gone.
    thread::spawn(move || filling.write_all(&[vec![b'.'; 1 << 20], b"\n".to_vec()].concat()));
    (writer.into(), reader)
}

/// The first line of `sio serve` has its address.
fn addr(line: &str) -> &str {
    line.trim_end()
        .trim_end_matches('/')
        .split_once("http://")
        .expect("an address")
        .1
}

#[tokio::test]
async fn a_server_whose_standard_error_is_a_full_pipe_that_is_not_read_serves_on() {
    for verbose in ["-v", "-vvv"] {
        let broker = Broker::start().await;
        let (stderr, reader) = paused();
        let serve = Sio::new(&["serve", "--listen", "127.0.0.1:0", verbose]);
        let mut serving = serve.url(&broker.url).stderr(stderr).start();
        let line = serving.line().await;
        broker.publish("socketio", "nonsense, about which it logs a line").await;
        let mut client = Client::connect(addr(&line), "&room=r").await;
        for number in 0..20 {
            let done = Sio::new(&["emit", "-r", "r", "news", &number.to_string()])
                .url(&broker.url)
                .run("")
                .await;
            assert_eq!(done.code, 0, "{verbose}: {}", done.stderr);
            client.expect(&format!("42[\"news\",{number}]")).await;
        }
        serving.signal("TERM").await;
        assert_eq!(serving.finish().await.code, 0, "{verbose}");
        drop(reader);
    }
}

#[tokio::test]
async fn what_was_logged_while_the_reader_paused_is_read_when_it_goes_on() {
    let broker = Broker::start().await;
    let (stderr, mut reader) = paused();
    let serve = Sio::new(&["serve", "--listen", "127.0.0.1:0", "-v"]);
    let mut serving = serve.url(&broker.url).stderr(stderr).start();
    let line = serving.line().await;
    broker.publish("socketio", "nonsense, about which it logs a line").await;
    let page = http_get(addr(&line), "/").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let reading = thread::spawn(move || {
        let mut read = String::new();
        reader.read_to_string(&mut read).map(|_| read)
    });
    serving.signal("TERM").await;
    assert_eq!(serving.finish().await.code, 0);
    let read = reading.join().unwrap().unwrap();
    let log = read.trim_start_matches('.');
    assert!(
        log.contains("connected to") && log.contains("skipped a message"),
        "{log}"
    );
    assert!(log.ends_with('\n') && !log.contains("left out"), "{log}");
}

#[tokio::test]
async fn no_command_waits_for_who_reads_its_standard_error() {
    let broker = Broker::start().await;
    let (alive, nowhere) = (broker.url.as_str(), dead_url());
    for (line, url, input, code) in [
        (&["-vvv", "emit", "news", "1"][..], alive, "", 0),
        (&["emit", "news", "{"], alive, "", 2),
        (&["emit", "news", "--timeout", "2s"], nowhere.as_str(), "", 1),
        (&["disconnect", "id"], alive, "", 0),
        (
            &["-v", "emit", "--lines", "--keep-going", "n"],
            alive,
            "{\n{\n1\n{\n",
            2,
        ),
    ] {
        let (stderr, reader) = paused();
        let done = Sio::new(line).url(url).stderr(stderr).run(input).await;
        assert_eq!(done.code, code, "{line:?}");
        drop(reader);
    }
}

#[tokio::test]
async fn a_server_serves_on_although_its_standard_output_is_a_full_pipe_that_is_not_read() {
    let broker = Broker::start().await;
    let addr = free_address();
    let (stdout, reader) = paused();
    let serve = Sio::new(&["serve", "--listen", &addr]);
    let serving = serve.url(&broker.url).stdout(stdout).start();
    broker.wait_for_subscriber("socketio").await;
    for _ in 0..3 {
        reaches_a_client(&broker, &addr).await;
    }
    serving.signal("TERM").await;
    let done = serving.finish().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    drop(reader);
}

#[tokio::test]
async fn a_signal_ends_a_command_whose_standard_output_is_not_read() {
    let broker = Broker::start().await;
    let (stdout, reader) = paused();
    let mut listening = Sio::new(&["listen"]).url(&broker.url).stdout(stdout).start();
    assert!(listening.error_line().await.contains("listening to channel"));
    broker.publish("socketio", "nonsense").await;
    // It has read the message before what it asks the broker next.
    broker.wait_for_subscriber("socketio").await;
    listening.signal("TERM").await;
    assert_eq!(listening.finish().await.code, 0);
    drop(reader);

    let (stdout, reader) = paused();
    let demo = Sio::new(&["-v", "demo"]).stdout(stdout);
    let mut demo = demo.start();
    while !demo.error_line().await.contains("connected to") {}
    demo.signal("TERM").await;
    assert_eq!(demo.finish().await.code, 0);
    drop(reader);
}
