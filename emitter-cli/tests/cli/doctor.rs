//! `sio doctor`: what its users see. What it finds on real brokers is shown in `integration/tests/doctor`.

use serde_json::Value;

use crate::support::{Broker, Sio, dead_url, silent_url};

#[tokio::test]
async fn a_channel_without_a_server_is_a_problem_with_a_remedy_and_exit_code_1() {
    let broker = Broker::start().await;
    let done = Sio::new(&["doctor", "--observe", "100ms"])
        .url(&broker.url)
        .run("")
        .await;
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert_eq!(done.stderr, "sio: 1 problem found: no-server\n");
    let problem = done
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("problem  no-server "))
        .take(2);
    let problem: Vec<_> = problem.collect();
    assert!(
        problem[0].contains("channel socketio: ") && problem[1].contains("remedy: start a server"),
        "{}",
        done.stdout
    );
    assert!(
        done.stdout.starts_with("ok ") && !done.stdout.contains("healthy"),
        "{}",
        done.stdout
    );
}

#[cfg(feature = "serve")]
#[tokio::test]
async fn a_channel_with_a_server_is_healthy() {
    let broker = Broker::start().await;
    let (_serving, _) = crate::serve::serving(&broker.url).await;
    broker.wait_for_subscriber("socketio").await;
    let done = Sio::new(&["doctor"]).url(&broker.url).run("").await;
    assert_eq!((done.code, &*done.stderr), (0, ""), "{}", done.stdout);
    assert!(done.stdout.ends_with("\nhealthy\n"), "{}", done.stdout);
    assert!(done.stdout.contains("1 responded, with 0 clients"), "{}", done.stdout);
}

#[tokio::test]
async fn a_broker_that_is_away_or_silent_is_named_within_the_timeout_and_without_its_password() {
    for url in [dead_url(), silent_url().await] {
        let begun = std::time::Instant::now();
        let done = Sio::new(&["doctor", "--json", "--timeout", "4s"])
            .url(&url)
            .run("")
            .await;
        assert_eq!(done.code, 1, "{}", done.stderr);
        let finding: Value = serde_json::from_str(done.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&finding["code"], &finding["severity"]),
            (&"unreachable".into(), &"problem".into()),
            "{finding}"
        );
        assert!(
            finding["subject"].as_str().unwrap().starts_with("redis://127.0.0.1:"),
            "{finding}"
        );
        assert!(!(done.stdout + &done.stderr).contains("secret"));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_cannot_be_diagnosed_is_usage() {
    for arguments in [
        &["--url", "nowhere"][..],
        &["-n", "chat"],
        &["--observe", "1m"],
        &["--channel", ""],
        &["--timeout", "0"],
    ] {
        let done = Sio::new(&["doctor"]).args(arguments).run("").await;
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
    }
}
