//! Traces of events, and the form of lines on standard error.

use serde_json::Value;

use crate::support::{Broker, Sio, dead_url};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_event_carries_the_trace_that_the_option_or_the_environment_names() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let other = TRACE.replace("4bf9", "aaaa");
    for (option, variable, carried) in [
        (Some(TRACE), Some(other.as_str()), Some(TRACE)),
        (None, Some(other.as_str()), Some(other.as_str())),
        (None, Some("nonsense"), None),
        (None, None, None),
    ] {
        let option = option.map_or(Vec::new(), |option| vec!["--traceparent", option]);
        let mut sio = Sio::new(&["emit", "e"]).args(&option);
        if let Some(variable) = variable {
            sio = sio.env("TRACEPARENT", variable);
        }
        let done = sio.url(&broker.url).run("").await;
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(
            done.stderr.contains("TRACEPARENT is ignored"),
            variable == Some("nonsense")
        );
        let message = channel.next().await;
        assert_eq!(message["sio"]["traceparent"].as_str(), carried, "{message}");
        assert!(
            message["sio"]["sent_us"].as_u64().unwrap() > 1_600_000_000_000_000,
            "{message}"
        );
    }
    let done = Sio::new(&["emit", "e", "--traceparent", "nonsense"]).run("").await;
    assert!(
        done.code == 2 && done.stderr.contains("--traceparent"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn each_line_on_standard_error_is_an_object_if_that_is_asked_for() {
    let by_option = Sio::new(&["-v", "emit", "e", "--timeout", "200ms", "--log-format", "json"]);
    let by_variable = Sio::new(&["-v", "emit", "e", "--timeout", "200ms"]).env("SIO_LOG_FORMAT", "json");
    for sio in [by_option, by_variable] {
        let done = sio.url(&dead_url()).run("").await;
        assert_eq!(done.code, 1);
        let lines: Vec<Value> = done
            .stderr
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        let last = lines.last().expect("it says why it failed");
        assert!(last["message"].as_str().unwrap().starts_with("sio: "), "{last}");
        assert!(
            last["timestamp"].as_str().unwrap().ends_with('Z') && last["level"] == "ERROR",
            "{last}"
        );
    }
}
