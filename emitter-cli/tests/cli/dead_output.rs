//! Standard output and standard error that take nothing: a full disk, a pipe whose reader has ended.

use std::fs::File;
use std::process::Stdio;

use crate::support::{Broker, Client, Sio, dead_url, free_address, http_get, reaches_a_client};

/// An output that takes nothing.
#[derive(Debug, Clone, Copy)]
enum Dead {
    Full,
    Closed,
}

const DEAD: [Dead; 2] = [Dead::Full, Dead::Closed];

impl Dead {
    fn stdio(self) -> Stdio {
        match self {
            Dead::Full => File::options().write(true).open("/dev/full").expect("a device").into(),
            Dead::Closed => std::io::pipe().expect("a pipe").1.into(),
        }
    }
}

#[tokio::test]
async fn a_server_whose_standard_error_is_dead_hears_the_channel_and_refuses_no_client() {
    let verbosities: [&[&str]; 3] = [&[], &["-v"], &["-vvv"]];
    let cases = DEAD
        .into_iter()
        .flat_map(|dead| verbosities.map(|verbose| (dead, verbose)));
    for (dead, verbose) in cases {
        let broker = Broker::start().await;
        let serve = Sio::new(&["serve", "--listen", "127.0.0.1:0"]).args(verbose);
        let mut serving = serve.url(&broker.url).stderr(dead.stdio()).start();
        let printed = serving.line().await;
        let (_, addr) = printed.trim_end().trim_end_matches('/').split_once("http://").unwrap();
        broker
            .publish("socketio", "nonsense, about which the listener logs a line")
            .await;
        let mut client = Client::connect(addr, "&room=r").await;
        let done = Sio::new(&["emit", "-r", "r", "news", "1"])
            .url(&broker.url)
            .run("")
            .await;
        assert_eq!(done.code, 0, "{dead:?} {verbose:?}: {}", done.stderr);
        client.expect("42[\"news\",1]").await;
        serving.signal("TERM").await;
        assert_eq!(serving.finish().await.code, 0, "{dead:?} {verbose:?}");
    }
}

#[tokio::test]
async fn no_command_ends_otherwise_because_its_standard_error_is_dead() {
    let broker = Broker::start().await;
    let (alive, nowhere) = (broker.url.as_str(), dead_url());
    let nowhere = nowhere.as_str();
    for (line, url, code) in [
        (&["emit", "news", "1"][..], Some(alive), 0),
        (&["-v", "emit", "news", "1"], Some(alive), 0),
        (&["emit", "--ack", "1", "news", "--timeout", "300ms"], Some(alive), 1),
        (&["emit", "news", "--timeout", "300ms"], Some(nowhere), 1),
        (&["emit", "news", "{"], Some(alive), 2),
        (&["disconnect", "id"], Some(alive), 0),
        (&["enter-room", "id", "r"], Some(alive), 0),
        (&["leave-room", "id", "r"], Some(alive), 0),
        (&["close-room", "r"], Some(alive), 0),
        (&["close-room", "r", "--timeout", "300ms"], Some(nowhere), 1),
        (&["listen", "--timeout", "300ms"], Some(nowhere), 1),
        (&["demo", "--count", "2"], None, 0),
        (&["completions", "bash"], None, 0),
        (&["--help"], None, 0),
        (&["nonsense"], None, 2),
    ] {
        let checks = DEAD.map(async |dead| {
            let sio = Sio::new(line).stderr(dead.stdio());
            let sio = match url {
                Some(url) => sio.url(url),
                None => sio,
            };
            assert_eq!(sio.run("").await.code, code, "{dead:?} {line:?}");
        });
        futures_util::future::join_all(checks).await;
    }
}

#[tokio::test]
async fn lines_are_emitted_although_standard_error_is_dead() {
    for (input, code) in [("1\n2\n", 0), ("1\n2\n{\n", 2)] {
        for dead in DEAD {
            let broker = Broker::start().await;
            let mut channel = broker.subscribe("socketio").await;
            let sio = Sio::new(&["-v", "emit", "--lines", "n"])
                .url(&broker.url)
                .stderr(dead.stdio());
            assert_eq!(sio.run(input).await.code, code, "{dead:?} {input:?}");
            assert_eq!(channel.next().await["data"][0], 1);
            assert_eq!(channel.next().await["data"][0], 2);
        }
    }
}

#[tokio::test]
async fn a_listener_shows_what_passes_although_standard_error_is_dead() {
    for dead in DEAD {
        let broker = Broker::start().await;
        let mut listening = Sio::new(&["-v", "listen"])
            .url(&broker.url)
            .stderr(dead.stdio())
            .start();
        broker.wait_for_subscriber("socketio").await;
        broker.publish("socketio", "nonsense").await;
        assert!(listening.line().await.contains("undecodable"));
        listening.signal("TERM").await;
        assert_eq!(listening.finish().await.code, 0, "{dead:?}");
    }
}

#[tokio::test]
async fn a_closed_standard_output_is_enough_and_a_full_one_is_an_error() {
    for (dead, code) in [(Dead::Closed, 0), (Dead::Full, 1)] {
        for line in [
            &["demo", "--count", "2"][..],
            &["completions", "zsh"],
            &["--help"],
            &["help", "emit"],
            &["--version"],
        ] {
            let done = Sio::new(line).stdout(dead.stdio()).run("").await;
            assert_eq!(done.code, code, "{dead:?} {line:?}: {}", done.stderr);
            assert_eq!(done.stderr.contains("standard output"), code == 1, "{}", done.stderr);
        }
        let broker = Broker::start().await;
        let listening = Sio::new(&["listen"]).url(&broker.url).stdout(dead.stdio()).start();
        broker.wait_for_subscriber("socketio").await;
        broker.publish("socketio", "nonsense").await;
        assert_eq!(listening.finish().await.code, code, "{dead:?} listen");
    }
}

#[tokio::test]
async fn a_server_serves_on_although_standard_output_is_dead() {
    for dead in DEAD {
        let broker = Broker::start().await;
        let addr = free_address();
        let serving = Sio::new(&["serve", "--listen", &addr])
            .url(&broker.url)
            .stdout(dead.stdio())
            .start();
        broker.wait_for_subscriber("socketio").await;
        // What it prints is printed once it hears the channel.
        broker.publish("socketio", "nonsense").await;
        let page = http_get(&addr, "/").await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        reaches_a_client(&broker, &addr).await;
        serving.signal("TERM").await;
        let done = serving.finish().await;
        assert_eq!(done.code, 0, "{dead:?}: {}", done.stderr);
    }
}
