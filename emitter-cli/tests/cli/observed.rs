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

#[cfg(feature = "serve")]
#[tokio::test]
async fn metrics_and_health_have_an_address_of_their_own_to_the_end_of_a_drain() {
    use crate::support::{Client, http_get};
    let broker = Broker::start().await;
    let options = ["--admin-listen", "127.0.0.1:0", "--drain", "20s"];
    let (mut server, addr) = crate::serve::serving_with(&broker.url, &options).await;
    let operators = loop {
        let line = server.line().await;
        if let Some(rest) = line.strip_prefix("for operators    http://") {
            break rest.split('/').next().unwrap().to_owned();
        }
    };
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect(&addr, "").await);
    }
    let page = http_get(&operators, "/metrics").await;
    assert!(
        page.contains("\nsio_clients 20\n") && page.contains("\nsio_ready 1\n"),
        "{page}"
    );
    assert!(http_get(&operators, "/health/ready").await.starts_with("HTTP/1.1 200"));
    assert!(
        http_get(&addr, "/metrics").await.starts_with("HTTP/1.1 404"),
        "not for clients"
    );
    let ready = Sio::new(&["health", &operators]).run("").await;
    assert_eq!((ready.code, &*ready.stdout), (0, "ready\n"), "{}", ready.stderr);
    server.signal("TERM").await;
    while http_get(&operators, "/health/ready").await.starts_with("HTTP/1.1 200") {}
    assert!(
        http_get(&operators, "/health/ready")
            .await
            .ends_with("\r\n\r\ndraining\n")
    );
    let draining = Sio::new(&["health", &operators]).run("").await;
    assert_eq!(
        (draining.code, &*draining.stdout),
        (1, "draining\n"),
        "{}",
        draining.stderr
    );
    let live = Sio::new(&["health", "--live", &operators]).run("").await;
    assert_eq!(live.code, 0, "{} {}", live.stdout, live.stderr);
    for client in clients {
        client.closed().await;
    }
    assert_eq!(server.finish().await.code, 0);
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn an_address_for_operators_that_cannot_be_used_is_told_at_once() {
    let broker = Broker::start().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, code, said) in [
        (taken.as_str(), 1, "--admin-listen"),
        ("unix:/nonexistent/x", 2, "--admin-listen"),
    ] {
        let sio = Sio::new(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", address]);
        let done = sio.url(&broker.url).run("").await;
        assert!(
            done.code == code && done.stderr.contains(said),
            "{address}: {} {}",
            done.code,
            done.stderr
        );
    }
}
