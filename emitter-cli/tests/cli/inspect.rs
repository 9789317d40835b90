//! `sio servers`, `rooms`, `who`, `count`, and `sio emit --receipt`.

use serde_json::{Value, json};

use crate::serve::serving;
use crate::support::{Broker, Client, Done, Sio, dead_url};

async fn sio(broker: &Broker, args: &[&str]) -> Done {
    // Before the arguments, of which some stand behind `--`.
    let [command, arguments @ ..] = args else {
        panic!("a command is needed");
    };
    Sio::new(&[*command]).url(&broker.url).args(arguments).run("").await
}

fn lines(done: &Done) -> Vec<Value> {
    let lines = done.stdout.lines().map(|line| serde_json::from_str(line).expect(line));
    lines.collect()
}

#[tokio::test]
async fn servers_rooms_and_clients_of_two_servers_are_listed_and_counted() {
    let broker = Broker::start().await;
    let (_one, one) = serving(&broker.url).await;
    let (_two, two) = serving(&broker.url).await;
    let a = Client::connect(&one, "&room=lobby").await;
    let b = Client::connect(&two, "&room=lobby").await;
    let _outside = Client::connect(&two, "&room=hall").await;

    let servers = sio(&broker, &["servers", "--json"]).await;
    assert_eq!(servers.code, 0, "{}", servers.stderr);
    let servers = lines(&servers);
    let mut clients: Vec<_> = servers.iter().map(|server| server["clients"].as_u64()).collect();
    clients.sort();
    assert_eq!(clients, [Some(1), Some(2)], "{servers:?}");
    for server in &servers {
        assert_eq!((&server["responds"], &server["gaps"]), (&json!(true), &json!(0)));
        assert_eq!(server["software"], concat!("sio/", env!("CARGO_PKG_VERSION")));
        assert!(server["listening_ms"].is_u64(), "{server}");
        // The clock is the same; what the response takes does not count as a difference ahead.
        assert!(server["clock_skew_ms"].as_i64().unwrap() == 0, "{server}");
    }

    let rooms = sio(&broker, &["rooms", "--json"]).await;
    let expected = [
        json!({"room": "hall", "clients": 1}),
        json!({"room": "lobby", "clients": 2}),
    ];
    assert_eq!((rooms.code, lines(&rooms)), (0, expected.to_vec()), "{}", rooms.stderr);
    let rooms = sio(&broker, &["rooms", "-p", "lo"]).await;
    assert_eq!((rooms.code, &*rooms.stdout), (0, "ROOM   CLIENTS\nlobby        2\n"));

    let who = sio(&broker, &["who", "lobby", "--json"]).await;
    assert_eq!(who.code, 0, "{}", who.stderr);
    let mut found: Vec<_> = lines(&who)
        .iter()
        .map(|line| line["client"].as_str().unwrap().to_owned())
        .collect();
    let mut expected = [a.id.clone(), b.id.clone()];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let of_a = lines(&who).into_iter().find(|line| line["client"] == *a.id).unwrap();
    assert_eq!(
        (&of_a["transport"], &of_a["rooms"]),
        (&json!("websocket"), &json!([a.id, "lobby"]))
    );

    for (args, count) in [
        (&["count"][..], "3\n"),
        (&["count", "lobby"], "2\n"),
        (&["count", "nowhere"], "0\n"),
        (&["count", "--", "-nowhere"], "0\n"),
    ] {
        let done = sio(&broker, args).await;
        assert_eq!((done.code, &*done.stdout), (0, count), "{}", done.stderr);
    }
}

#[tokio::test]
async fn a_receipt_counts_the_clients_and_an_empty_room_is_exit_code_1() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let mut client = Client::connect(&addr, "&room=lobby").await;
    let done = sio(&broker, &["emit", "-r", "lobby", "--receipt", "news", "1"]).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(
        (&lines(&done)[0]["clients"], &lines(&done)[0]["servers"][0]["clients"]),
        (&json!(1), &json!(1))
    );
    client.expect("42[\"news\",1]").await;
    let done = sio(&broker, &["emit", "-r", "nowhere", "--receipt", "news", "1"]).await;
    assert_eq!((done.code, &lines(&done)[0]["clients"]), (1, &json!(0)));
    assert!(
        done.stderr.contains("no client") && done.stderr.contains("1 server reported"),
        "{}",
        done.stderr
    );
}

#[tokio::test]
async fn where_no_server_responds_every_report_says_so_and_fails() {
    let broker = Broker::start().await;
    for args in [
        &["servers"][..],
        &["rooms"],
        &["who", "lobby"],
        &["count"],
        &["emit", "--receipt", "news"],
    ] {
        let done = sio(&broker, args).await;
        assert_eq!(done.code, 1, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains("python-socketio"), "{args:?}: {}", done.stderr);
    }
}

#[tokio::test]
async fn a_broker_out_of_reach_is_named_and_bad_input_is_refused_first() {
    for args in [
        &["servers"][..],
        &["rooms"],
        &["who"],
        &["count"],
        &["emit", "--receipt", "e"],
    ] {
        let done = Sio::new(args).args(&["--timeout", "1s"]).url(&dead_url()).run("").await;
        assert_eq!(done.code, 1, "{}", done.stderr);
        let error = done
            .stderr
            .lines()
            .find(|line| line.contains("cannot "))
            .expect(&done.stderr);
        let is_told = error.contains("at redis://127.0.0.1") && error.contains("connection refused");
        assert!(is_told && !done.stderr.contains("secret"), "{args:?}: {}", done.stderr);
    }
    for args in [
        &["rooms", "-n", "chat"][..],
        &["who", ""],
        &["count", "--interval", "5s"],
        &["emit", "--receipt", "--ack", "1", "e"],
    ] {
        let done = Sio::new(args).url(&dead_url()).run("").await;
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
    }
}

#[tokio::test]
async fn what_is_watched_is_reported_again_until_a_signal() {
    let broker = Broker::start().await;
    let (_serving, addr) = serving(&broker.url).await;
    let mut watching = Sio::new(&["count", "--watch", "--interval", "100ms"])
        .url(&broker.url)
        .start();
    assert_eq!(watching.line().await, "0\n");
    let _client = Client::connect(&addr, "").await;
    while watching.line().await != "1\n" {}
    watching.signal("INT").await;
    let done = watching.finish().await;
    assert_eq!((done.code, &*done.stderr), (0, ""));
}

#[tokio::test]
async fn a_signal_while_a_receipt_is_waited_for_says_that_the_event_may_have_been_published() {
    let broker = Broker::start().await;
    let mut channel = broker.subscribe("socketio").await;
    let waiting = Sio::new(&["-q", "emit", "--receipt", "--timeout", "60s", "news"])
        .url(&broker.url)
        .start();
    // A server that announces itself, and does not report.
    assert_eq!(channel.next_of_all().await["method"], "sio_seek");
    let present = r#"{"method":"sio_here","sio":{"v":1},"host_id":"silent"}"#;
    broker.publish("socketio", present).await;
    assert_eq!(channel.next().await["event"], "news");
    waiting.signal("INT").await;
    let done = waiting.finish().await;
    assert_eq!((done.code, &*done.stdout), (130, ""), "{}", done.stderr);
    assert!(
        done.stderr.contains("SIGINT") && done.stderr.contains("may have been published"),
        "{}",
        done.stderr
    );
}
