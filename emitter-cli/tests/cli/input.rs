//! Input that was once taken for something else, or for nothing.

use serde_json::json;

use crate::support::{Broker, Sio};

#[tokio::test]
async fn data_with_a_hyphen_is_emitted_or_refused_and_never_lost() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    for (line, data) in [
        (&["emit", "temp", "-3.5"][..], json!([-3.5])),
        (&["emit", "--text", "log", "--", "-q"], json!(["-q"])),
        (&["emit", "--text", "temp", "-3.5", "-q"], json!(["-3.5"])),
    ] {
        let done = Sio::new(line).env("SIO_URL", &broker.url).run("").await;
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line:?}");
        assert_eq!(channel.next().await["data"], data, "{line:?}");
    }
    for line in [&["emit", "--text", "log", "-q"][..], &["emit", "--text", "log", "-x"]] {
        let done = Sio::new(line).env("SIO_URL", &broker.url).run("").await;
        assert_eq!(done.code, 2, "{line:?}: {}", done.stderr);
        assert!(done.stderr.contains("-- -"), "{line:?}: {}", done.stderr);
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_taken_off_and_utf_16_is_named() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let marked = format!("@{}", file("marked", "\u{feff}{\"a\":1}".as_bytes()));
    let utf16: Vec<u8> = "\u{feff}{\"a\":1}\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16 = file("utf16", &utf16);
    for (line, data) in [
        (&["emit", "e", &marked][..], json!([{"a": 1}])),
        (&["emit", "--text", "e", &marked], json!(["{\"a\":1}"])),
    ] {
        let done = Sio::new(line).url(&broker.url).run("").await;
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line:?}");
        assert_eq!(channel.next().await["data"], data, "{line:?}");
    }
    for line in [&["emit", "--lines", "e"][..], &["emit", "--lines", "--text", "e"]] {
        let done = Sio::new(line).url(&broker.url).run("\u{feff}1\n2\n").await;
        assert_eq!(done.code, 0, "{line:?}: {}", done.stderr);
        let (first, second) = (channel.next().await, channel.next().await);
        let expected = if line.contains(&"--text") {
            (json!(["1"]), json!(["2"]))
        } else {
            (json!([1]), json!([2]))
        };
        assert_eq!(
            (&first["data"], &second["data"]),
            (&expected.0, &expected.1),
            "{line:?}"
        );
    }
    let from_file = format!("@{utf16}");
    for (line, input) in [
        (&["emit", "e", &from_file][..], None),
        (&["emit", "--text", "e", &from_file], None),
        (&["emit", "--lines", "e"], Some(&utf16)),
        (&["emit", "--lines", "--text", "--keep-going", "e"], Some(&utf16)),
    ] {
        let sio = Sio::new(line).url(&broker.url);
        let done = match input {
            Some(path) => {
                sio.stdin(std::fs::File::open(path).unwrap().into())
                    .start()
                    .finish()
                    .await
            }
            None => sio.run("").await,
        };
        assert_eq!(done.code, 2, "{line:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("UTF-16") && done.stderr.contains("iconv"),
            "{line:?}: {}",
            done.stderr
        );
    }
}

#[tokio::test]
async fn a_room_is_left_out_and_an_event_is_volatile_by_options() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("elsewhere").await;
    for line in [
        &[
            "emit",
            "-r",
            "a",
            "--except-room",
            "b",
            "--except-room",
            "c",
            "--volatile",
            "e",
        ][..],
        &[
            "emit",
            "--lines",
            "-r",
            "a",
            "--except-room",
            "b",
            "--except-room",
            "c",
            "--volatile",
        ],
    ] {
        let done = Sio::new(line)
            .url(&broker.url)
            .env("SIO_CHANNEL", "elsewhere")
            .run("{\"event\":\"e\"}\n{\"event\":\"e\",\"volatile\":false,\"except_rooms\":[]}\n")
            .await;
        assert_eq!(done.code, 0, "{line:?}: {}", done.stderr);
        let message = channel.next().await;
        assert_eq!(message["sio"]["except"], json!(["b", "c"]), "{line:?}: {message}");
        assert_eq!(message["sio"]["volatile"], json!(true), "{line:?}: {message}");
    }
    let message = channel.next().await;
    let is_volatile = message["sio"]["volatile"].as_bool().unwrap_or(false);
    assert!(!is_volatile, "a line has the last word: {message}");
}

#[tokio::test]
async fn the_channel_of_the_environment_is_one_that_is_named() {
    let broker = Broker::start().await;
    let (mut usual, mut named) = (broker.subscribe("socketio").await, broker.subscribe("named").await);
    for (variable, option, is_usual) in [
        ("named", None, false),
        ("", None, true),
        (" \n", None, true),
        ("other", Some("named"), false),
    ] {
        let sio = Sio::new(&["emit", "e"]).url(&broker.url).env("SIO_CHANNEL", variable);
        let sio = match option {
            Some(name) => sio.args(&["--channel", name]),
            None => sio,
        };
        assert_eq!(sio.run("").await.code, 0, "{variable:?}");
        let channel = if is_usual { &mut usual } else { &mut named };
        assert_eq!(channel.next().await["event"], "e", "{variable:?}");
    }
}

#[tokio::test]
async fn waiting_for_no_answer_is_refused_with_advice() {
    let done = Sio::new(&["emit", "--ack", "0", "e"]).run("").await;
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("leave --ack out"), "{}", done.stderr);
}
