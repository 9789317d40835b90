//! `sio emit --lines`.

use std::time::Instant;

use serde_json::json;

use crate::support::{Broker, Sio, dead_url};

#[tokio::test]
async fn lines_are_emitted_in_order() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let input: String = (0..5_000).map(|number| format!("{{\"number\": {number}}}\n")).collect();
    let done = Sio::new(&["emit", "--lines", "-r", "r", "n"])
        .url(&broker.url)
        .run(&input)
        .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("5000 accepted, 0 refused, 0 bad"),
        "{}",
        done.stderr
    );
    for number in 0..5_000 {
        let message = channel.next().await;
        assert_eq!(
            (&message["data"], &message["room"]),
            (&json!([{"number": number}]), &json!("r"))
        );
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let broker = Broker::start().await;
    let started = Instant::now();
    let input = "1\n".repeat(50);
    let done = Sio::new(&["emit", "--lines", "--rate", "100", "-q", "n"])
        .url(&broker.url)
        .run(&input)
        .await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let seconds = started.elapsed().as_secs_f64();
    assert!(seconds > 0.4, "50 events at 100/s took {seconds} s");
}

#[tokio::test]
async fn a_bad_line_is_named_and_stops_or_is_skipped() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let input = "{\"event\":\"a\",\"data\":1}\n\n{\"event\":\"b\",\"data\":}\n{\"event\":\"c\",\"args\":[2,3]}\n";
    let done = Sio::new(&["emit", "--lines"]).url(&broker.url).run(input).await;
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("line 3 is bad: expected value at column 21"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("1 accepted, 0 refused, 1 bad"), "{}", done.stderr);
    assert_eq!(channel.next().await["event"], "a");

    let done = Sio::new(&["emit", "--lines", "--keep-going"])
        .url(&broker.url)
        .run(input)
        .await;
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("2 accepted, 0 refused, 1 bad"), "{}", done.stderr);
    assert_eq!(channel.next().await["event"], "a");
    assert_eq!(channel.next().await["data"], json!([2, 3]));
}

#[tokio::test]
async fn refused_lines_are_counted_and_named() {
    let done = Sio::new(&["emit", "--lines", "--keep-going", "--timeout", "1s", "n"])
        .url(&dead_url())
        .run("1\n2\n")
        .await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("line 1 was refused") && done.stderr.contains("line 2 was refused"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("0 accepted, 2 refused, 0 bad"), "{}", done.stderr);
}

#[tokio::test]
async fn a_signal_ends_lines_after_what_was_read() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let mut lines = Sio::new(&["emit", "--lines", "n"]).url(&broker.url).start();
    lines.write("1\n2\n3").await;
    for number in [1, 2] {
        assert_eq!(
            channel.next().await["data"],
            json!([number]),
            "at once, not when the input ends"
        );
    }
    lines.signal("INT").await;
    let done = lines.finish_with_open_stdin().await;
    assert_eq!(done.code, 130, "{}", done.stderr);
    assert!(
        done.stderr.contains("2 accepted, 0 refused, 0 bad in") && done.stderr.contains("interrupted"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("ended by SIGINT: everything that was read was sent"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn lines_that_were_read_and_not_sent_are_counted_when_a_signal_ends_it() {
    for (signal, code, quiet) in [("INT", 130, false), ("TERM", 143, false), ("TERM", 143, true)] {
        let broker = Broker::start().await;
        let mut channel = broker.subscribe("socketio").await;
        let sio = Sio::new(&["emit", "--lines", "--rate", "0.01", "n"]).url(&broker.url);
        let sio = if quiet { sio.args(&["-q"]) } else { sio };
        let mut lines = sio.start();
        lines.write(&"1\n".repeat(100)).await;
        channel.next().await;
        lines.signal(signal).await;
        let done = lines.finish_with_open_stdin().await;
        assert_eq!(done.code, code, "{}", done.stderr);
        let said = format!("ended by SIG{signal}: 99 lines that were read were not sent");
        assert!(done.stderr.contains(&said), "{}", done.stderr);
        let summary = done.stderr.contains("1 accepted, 0 refused, 0 bad, 99 not sent");
        assert_eq!(summary, !quiet, "{}", done.stderr);
    }
}

#[tokio::test]
async fn lines_behind_a_bad_one_are_counted() {
    let broker = Broker::start().await;
    let done = Sio::new(&["-q", "emit", "--lines", "n"])
        .url(&broker.url)
        .run("1\n{\n2\n3\n")
        .await;
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(
        done.stderr.contains("2 lines that were read were not sent"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn a_second_signal_waits_for_no_broker_and_says_what_may_have_been_published() {
    let mut lines = Sio::new(&["emit", "--lines", "--timeout", "10m", "n"])
        .url(&dead_url())
        .start();
    lines.write("1\n2\n").await;
    while !lines.error_line().await.contains("no connection to redis://") {}
    // Two kinds, of which neither can be taken for the other.
    lines.signal("INT").await;
    lines.signal("TERM").await;
    let done = lines.finish_with_open_stdin().await;
    assert!([130, 143].contains(&done.code), "{}: {}", done.code, done.stderr);
    assert!(
        done.stderr
            .contains("2 events without an answer may have been published"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn large_lines_pass_and_too_large_ones_are_bad() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let (large, too_large) = ("x".repeat(9 << 20), "x".repeat(17 << 20));
    let input = format!("{large}\n{too_large}\n{large}\n{large}\n{large}\n{large}\nend\n");
    let done = Sio::new(&["emit", "--lines", "--text", "--keep-going", "n"])
        .url(&broker.url)
        .run(&input)
        .await;
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("line 2 is bad: longer than"), "{}", done.stderr);
    assert!(done.stderr.contains("6 accepted, 0 refused, 1 bad"), "{}", done.stderr);
    for _ in 0..5 {
        assert_eq!(channel.next().await["data"][0].as_str().map(str::len), Some(9 << 20));
    }
    assert_eq!(channel.next().await["data"], json!(["end"]));
}
