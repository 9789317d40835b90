//! `sio emit` of one event, and what is done to clients and rooms.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Broker, Sio, dead_url, silent_url};

#[tokio::test]
async fn emit_publishes_what_was_asked_for() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("news-channel").await;
    let line = [
        "emit",
        "-n",
        "/chat",
        "-r",
        "a",
        "-r",
        "b",
        "--except",
        "x",
        "news",
        "1",
        "{\"b\": [2]}",
    ];
    let done = Sio::new(&line)
        .url(&broker.url)
        .args(&["--channel", "news-channel"])
        .run("")
        .await;
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "", ""));
    let message = channel.next().await;
    let expected = json!({"method": "emit", "event": "news", "namespace": "/chat", "room": ["a", "b"], "skip_sid": "x", "data": [1, {"b": [2]}]});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&message[field], value, "{field} of {message}");
    }
}

#[tokio::test]
async fn arguments_come_from_files_and_standard_input() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let folder = tempfile::tempdir().unwrap();
    let (text, binary) = (folder.path().join("a.json"), folder.path().join("b.bin"));
    std::fs::write(&text, "{\"from\":\"file\"}").unwrap();
    std::fs::write(&binary, [0, 1, 255]).unwrap();
    let (text, binary) = (format!("@{}", text.display()), binary.display().to_string());
    let line = ["emit", "e", &text, "@-", "--binary", &binary];
    let done = Sio::new(&line).url(&broker.url).run(" [1]\n").await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let message = channel.next().await;
    assert_eq!(message["binary"], json!(true));
    let placeholder = json!({"_placeholder": true, "num": 0});
    assert_eq!(message["data"], json!([[{"from": "file"}, [1], placeholder], "AAH/"]));
}

#[tokio::test]
async fn clients_and_rooms_are_managed() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    for (line, expected) in [
        (
            &["disconnect", "id"][..],
            json!({"method": "disconnect", "sid": "id", "namespace": "/"}),
        ),
        (
            &["enter-room", "id", "r"],
            json!({"method": "enter_room", "sid": "id", "room": "r"}),
        ),
        (
            &["leave-room", "id", "r", "-n", "/c"],
            json!({"method": "leave_room", "sid": "id", "namespace": "/c"}),
        ),
        (&["close-room", "r"], json!({"method": "close_room", "room": "r"})),
    ] {
        let done = Sio::new(line).env("SIO_URL", &broker.url).run("").await;
        assert_eq!(done.code, 0, "{line:?}: {}", done.stderr);
        let is_known = line[0] == "close-room";
        assert_eq!(
            done.stderr.contains("whether the client is there is not known: "),
            !is_known,
            "{line:?}: {}",
            done.stderr
        );
        let message = channel.next().await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&message[field], value, "{field} of {message}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_sent_exits_2_and_sends_nothing() {
    let url = dead_url();
    for (line, reason) in [
        (&["emit", "news", "{\"a\":}"][..], "line 1 column 6"),
        (&["emit", "news", "hello"], "--text"),
        (&["emit", "connect"], "reserved"),
        (&["emit", ""], "empty"),
        (&["emit", "-n", "chat", "news"], "must begin with '/'"),
        (&["emit"], "<EVENT>"),
        (&["emit", "-r", "", "news"], "--room"),
        (&["emit", "--except", "", "news"], "--except"),
        (&["emit", "--except-room", "", "news"], "--except-room"),
        (&["close-room", ""], "<ROOM>"),
        (&["enter-room", "id", ""], "<ROOM>"),
        (&["leave-room", "id", ""], "<ROOM>"),
        (&["enter-room", "", "r"], "<ID>"),
        (&["disconnect", ""], "<ID>"),
        (&["emit", "news", "@/no/such/file"], "/no/such/file"),
        (&["nonsense"], "nonsense"),
        #[cfg(feature = "serve")]
        (&["demo", "--count", "x"], "--count"),
    ] {
        let done = Sio::new(line).env("SIO_URL", &url).run("").await;
        assert_eq!(done.code, 2, "{line:?}: {}", done.stderr);
        assert!(done.stderr.contains(reason), "{line:?}: {}", done.stderr);
    }
    let done = Sio::new(&["emit", "news"]).url("mqtt://me:secret@host").run("").await;
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("mqtt") && done.stderr.contains("rediss"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
}

#[tokio::test]
async fn a_url_that_cannot_be_used_exits_2_and_its_secrets_are_not_repeated() {
    for url in [
        "redis://:hunter2#!@127.0.0.1:1",
        "redis://u:hunter2?cret@127.0.0.1:1",
        "redis://127.0.0.1:1?password=a&hunter2",
        "amqp://me:hunter2/cret@127.0.0.1:1",
        "kafka://127.0.0.1:1?sasl.password=1&hunter2=3",
        "redis://me:hunter2",
    ] {
        for line in [
            Sio::new(&["-vvv", "emit", "news"]).env("SIO_URL", url),
            Sio::new(&["-vvv", "listen"]).url(url),
            // In the place of another argument.
            Sio::new(&["emit", "news", "--ack", url]),
            #[cfg(feature = "serve")]
            Sio::new(&["serve", url]),
            Sio::new(&[url]),
        ] {
            let done = line.run("").await;
            assert_eq!(done.code, 2, "{url}: {}", done.stderr);
            let said = format!("{} {}", done.stdout, done.stderr);
            assert!(!said.contains("hunter2") && !said.contains("cret"), "{url}: {said}");
        }
    }
    let help = Sio::new(&["emit", "--help"])
        .env("SIO_URL", "redis://:hunter2@h")
        .run("")
        .await;
    assert!(!help.stdout.contains("hunter2"), "{}", help.stdout);
}

#[tokio::test]
async fn the_url_may_have_blanks_around_it_and_come_from_a_file() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("{}\r\n", broker.url)).unwrap();
    let file = file.path().to_str().unwrap();
    let spaced = format!(" {}\n", broker.url);
    for (variable, value, other) in [("SIO_URL", spaced.as_str(), ""), ("SIO_URL_FILE", file, " \n")] {
        let empty = if variable == "SIO_URL" {
            "SIO_URL_FILE"
        } else {
            "SIO_URL"
        };
        let done = Sio::new(&["emit", variable])
            .env(variable, value)
            .env(empty, other)
            .run("")
            .await;
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{variable}");
        assert_eq!(channel.next().await["event"], variable);
    }
    let both = Sio::new(&["emit", "news"])
        .env("SIO_URL", &broker.url)
        .env("SIO_URL_FILE", file);
    let both = both.run("").await;
    assert!(both.code == 2 && both.stderr.contains("both set"), "{}", both.stderr);
}

#[tokio::test]
async fn a_broker_out_of_reach_exits_1_within_the_deadline() {
    let (refusing, silent) = (dead_url(), silent_url().await);
    let lines = [
        &["emit", "news"][..],
        &["emit", "--ack", "1", "news"],
        &["listen"],
        &["close-room", "r"],
    ];
    let cases = lines
        .iter()
        .flat_map(|line| [(line, &refusing, "refused"), (line, &silent, "")]);
    let checks = cases.map(async |(line, url, cause)| {
        let host = url.rsplit('@').next().unwrap();
        let started = Instant::now();
        let done = Sio::new(line).url(url).args(&["--timeout", "1s"]).run("").await;
        assert_eq!(done.code, 1, "{line:?}: {}", done.stderr);
        assert!(
            done.stderr.contains(host) && done.stderr.contains(cause),
            "{line:?}: {}",
            done.stderr
        );
        assert!(done.stderr.contains("sio serve"), "what to do: {}", done.stderr);
        assert!(!done.stderr.contains("secret"), "{line:?}: {}", done.stderr);
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{line:?} took {:?}",
            started.elapsed()
        );
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn with_no_broker_the_hint_comes_within_a_second_and_once() {
    let url = dead_url();
    let lines = [
        &["emit", "news"][..],
        &["emit", "--lines", "news"],
        &["listen"],
        &["disconnect", "id"],
    ];
    let checks = lines.map(async |line| {
        let started = Instant::now();
        let mut waiting = Sio::new(line).url(&url).args(&["--timeout", "15s"]).start();
        waiting.write("1\n").await;
        let mut num_lines = 0;
        while !waiting.error_line().await.contains("sio serve") {
            num_lines += 1;
        }
        assert!(num_lines < 3, "{line:?}: {num_lines} lines before");
        let took = started.elapsed();
        // Long before the time is over; on a busy machine starting takes its time.
        assert!(took < Duration::from_secs(8), "{line:?}: {took:?}");
        let done = waiting.finish().await;
        assert_eq!(done.code, 1, "{line:?}: {}", done.stderr);
        assert!(!done.stderr.contains("sio serve"), "{line:?}: twice: {}", done.stderr);
    });
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn acknowledgements_are_printed_as_json() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let asking = Sio::new(&["emit", "--ack", "1", "-r", "id", "question"])
        .url(&broker.url)
        .start();
    let question = channel.next().await;
    let (room, namespace, id) = (
        &question["callback"][0],
        &question["callback"][1],
        &question["callback"][2],
    );
    let answer = json!({"method": "callback", "host_id": question["host_id"], "sid": room, "namespace": namespace, "id": id, "args": ["yes", 2]});
    broker.publish("socketio", &answer.to_string()).await;
    let done = asking.finish().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed["args"], json!(["yes", 2]));
}

#[tokio::test]
async fn a_signal_while_acknowledgements_are_waited_for_says_how_many_came() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let line = ["-q", "emit", "--ack", "3", "--timeout", "60s", "-r", "id", "question"];
    let mut asking = Sio::new(&line).url(&broker.url).start();
    let question = channel.next().await;
    let answer = json!({"method": "callback", "host_id": question["host_id"], "sid": question["callback"][0], "namespace": question["callback"][1], "id": question["callback"][2], "args": ["yes"]});
    broker.publish("socketio", &answer.to_string()).await;
    assert!(asking.line().await.contains("yes"));
    asking.signal("INT").await;
    let done = asking.finish().await;
    assert_eq!(done.code, 130, "{}", done.stderr);
    assert!(
        done.stderr.contains("SIGINT") && done.stderr.contains("accepted, and 1 of 3 acknowledgements had come"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_command_about_a_client_whose_outcome_is_not_told_asks_nothing() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    for (line, said) in [
        (&["-q", "disconnect", "id"][..], ""),
        (
            &["disconnect", "id", "--timeout", "300ms"],
            "--timeout 300ms is too short",
        ),
    ] {
        let done = Sio::new(line).url(&broker.url).run("").await;
        assert_eq!(done.code, 0, "{line:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{line:?}: {}", done.stderr);
        assert_eq!(done.stderr.is_empty(), said.is_empty(), "{line:?}: {}", done.stderr);
        assert_eq!(channel.next_of_all().await["method"], "disconnect", "{line:?}");
    }
}

#[tokio::test]
async fn too_few_acknowledgements_exit_1() {
    let broker = Broker::start().await;
    let done = Sio::new(&["emit", "--ack", "2", "--timeout", "5s", "q"])
        .url(&broker.url)
        .run("")
        .await;
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("0 of 2 acknowledgements"), "{}", done.stderr);
}

#[tokio::test]
async fn a_silent_broker_costs_the_time_that_was_given_and_no_more() {
    let url = silent_url().await;
    let checks = [
        &["emit", "news"][..],
        &["emit", "--lines", "news"],
        &["disconnect", "id"],
    ]
    .map(async |line| {
        let started = Instant::now();
        let done = Sio::new(line).url(&url).args(&["--timeout", "6s"]).run("1\n").await;
        assert_eq!(done.code, 1, "{line:?}: {}", done.stderr);
        // Twice that time is what it must not be; on a busy machine starting takes its time.
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{line:?}: {:?}",
            started.elapsed()
        );
    });
    futures_util::future::join_all(checks).await;
}
