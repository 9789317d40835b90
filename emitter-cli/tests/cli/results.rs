//! `sio emit --lines --results`: a worker that keeps it open knows what became of each line.

use serde_json::{Value, json};

use crate::support::{Broker, Sio, dead_url};

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"))
}

#[tokio::test]
async fn a_worker_that_keeps_it_open_is_told_of_each_line_before_it_writes_the_next() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let arguments = ["emit", "--lines", "--keep-going", "--results", "-q"];
    let mut lines = Sio::new(&arguments).url(&broker.url).start();
    for number in [1, 2] {
        lines
            .write(&format!(
                "{{\"event\":\"done\",\"data\":{number},\"key\":\"job-{number}\"}}\n"
            ))
            .await;
        let result = parsed(&lines.line().await);
        assert_eq!(
            result,
            json!({"line": number, "key": format!("job-{number}"), "accepted": true})
        );
        assert_eq!(channel.next().await["data"], json!([number]));
    }
    // A blank line is not an event, and is counted as a line.
    lines.write("\n{\"event\":\"done\"}\nhello\n").await;
    let mut results = [parsed(&lines.line().await), parsed(&lines.line().await)];
    results.sort_by_key(|result| result["line"].as_u64());
    assert_eq!(results[0], json!({"line": 4, "key": null, "accepted": true}));
    let bad = &results[1];
    assert_eq!(
        (&bad["line"], &bad["accepted"], &bad["retryable"]),
        (&json!(5), &json!(false), &json!(false))
    );
    assert!(bad["error"].as_str().unwrap().starts_with("not an object"), "{bad}");
    let done = lines.finish().await;
    assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{}", done.stderr);
}

#[tokio::test]
async fn a_line_that_the_broker_did_not_accept_says_whether_a_retry_can_help() {
    let key = "k".repeat(129);
    let input = format!("{{\"event\":\"n\",\"key\":\"job-7\"}}\n{{\"event\":\"n\",\"key\":\"{key}\"}}\n");
    let sio = Sio::new(&["emit", "--lines", "--keep-going", "--results", "--timeout", "1s"]);
    let done = sio.url(&dead_url()).run(&input).await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    let mut results: Vec<Value> = done.stdout.lines().map(parsed).collect();
    results.sort_by_key(|result| result["line"].as_u64());
    let [away, bad] = &results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(
        (&away["key"], &away["accepted"], &away["retryable"]),
        (&json!("job-7"), &json!(false), &json!(true))
    );
    assert_eq!(away["may_have_been_published"], false, "nothing was connected");
    assert_eq!(bad["retryable"], false);
    assert!(
        bad["error"].as_str().unwrap().contains("over the limit of 128"),
        "{bad}"
    );
    assert!(!done.stdout.contains("secret"), "{}", done.stdout);
}

#[tokio::test]
async fn lines_are_emitted_although_the_reader_of_the_results_is_gone() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let mut lines = Sio::new(&["emit", "--lines", "--results", "n"])
        .url(&broker.url)
        .start();
    lines.close_stdout();
    for number in 0..3 {
        lines.write(&format!("{number}\n")).await;
        assert_eq!(channel.next().await["data"], json!([number]));
    }
    let done = lines.finish().await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("3 accepted"), "{}", done.stderr);
}

#[tokio::test]
async fn results_that_are_read_late_are_complete() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let mut lines = Sio::new(&["emit", "--lines", "--results", "n"])
        .url(&broker.url)
        .start();
    // Twice what a pipe holds.
    const NUM_LINES: u64 = 4_000;
    let input: String = (0..NUM_LINES).map(|number| format!("{number}\n")).collect();
    lines.write(&input).await;
    for number in 0..NUM_LINES {
        assert_eq!(channel.next().await["data"], json!([number]));
    }
    let done = lines.finish().await;
    let mut numbers: Vec<_> = done.stdout.lines().map(|line| parsed(line)["line"].as_u64()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((1..=NUM_LINES).map(Some)));
    assert_eq!(done.code, 0, "{}", done.stderr);
}
