//! Redis: out of reach, TLS, logins, rights, roles, limits, other channels.

use futures_util::StreamExt;
use integration::brokers::redis::{RedisCluster, RedisSentinel, RedisTls, ask};
use integration::brokers::{Flavour, RedisBroker, shared, unique_channel};
use integration::process::Process;
use integration::python::PyManager;
use integration::{DEADLINE, tools};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{Diagnosis, a_channel_with_a_server_is_healthy, publishing, server};

/// Runs a command on the broker.
async fn run(broker: &RedisBroker, words: &[&str]) {
    let command = redis::cmd(words[0]).arg(&words[1..]).to_owned();
    ask::<redis::Value>(&broker.url(), &command).await.unwrap();
}

/// A subscription to a channel of another program.
async fn subscriber(broker: &RedisBroker, channel: &str) -> redis::aio::PubSub {
    let client = redis::Client::open(broker.url()).unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe(channel).await.unwrap();
    subscriber
}

/// Counts the subscribers of the channel.
async fn num_subscribers(broker: &RedisBroker) -> usize {
    let count = redis::cmd("PUBSUB").arg("NUMSUB").arg("socketio").to_owned();
    ask::<(String, usize)>(&broker.url(), &count).await.unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_channel_is_called_healthy() {
    a_channel_with_a_server_is_healthy(RedisBroker::shared().await.url(), &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_channel_of_a_sentinel_or_a_cluster_is_called_healthy() {
    let sentinel = shared::<RedisSentinel>().await.url();
    let cluster = shared::<RedisCluster>().await.url();
    let (one, other) = (unique_channel(), unique_channel());
    tokio::join!(
        a_channel_with_a_server_is_healthy(sentinel, &one),
        a_channel_with_a_server_is_healthy(cluster, &other)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_python_socketio_is_heard_of() {
    super::a_server_of_python_socketio_is_heard_of_by_the_broker(PyManager::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_silent_behind_or_of_another_time_and_pickles_are_named() {
    let url = RedisBroker::shared().await.url();
    super::servers_and_publishers_that_are_not_well_are_named(url, &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_out_of_reach_and_another_service_are_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let url = format!("redis://me:hunter2@{address}");
    let diagnosis = Diagnosis::of(&url, "socketio", &["--timeout", "5s"]).await;
    diagnosis.names("unreachable", "connection refused").lacks("no-server");

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", other.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    Diagnosis::of(&url, "socketio", &[])
        .await
        .names("wrong-service", "another service");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_is_missing_superfluous_or_not_trusted_is_named() {
    let broker = RedisTls::try_start().await.unwrap();
    let trusted = broker.url();
    let (untrusted, _) = trusted.split_once('?').unwrap();
    let plainly = untrusted.replace("rediss://", "redis://");
    let to_plain_port = broker.server().url().replace("redis://", "rediss://");
    for (url, text) in [
        (untrusted, "not trusted"),
        (&plainly, "speaks TLS"),
        (&to_plain_port, "speaks no TLS"),
    ] {
        Diagnosis::of(url, "socketio", &[]).await.names("tls", text);
    }
    Diagnosis::of(&trusted, "socketio", &[])
        .await
        .lacks("tls")
        .names("round-trip", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_each_missing_right_and_a_replica_are_named() {
    let (master, replica) = (RedisBroker::start().await, RedisBroker::start().await);
    let url_of = |user: &str, password: &str| master.url().replace("redis://", &format!("redis://{user}:{password}@"));
    for (user, rights) in [
        ("emitter", &["+publish"][..]),
        ("listener", &["+subscribe"]),
        ("server", &["+publish", "+subscribe"]),
    ] {
        let rules = [
            "ACL",
            "SETUSER",
            user,
            "on",
            ">s3cret",
            "resetchannels",
            "&socketio",
            "-@all",
        ];
        run(&master, &[&rules[..], rights].concat()).await;
    }
    let wrong = Diagnosis::of(&url_of("server", "hunter2"), "socketio", &[]).await;
    wrong.names("login", "WRONGPASS");
    for (user, channel, right) in [
        ("emitter", "socketio", "+subscribe"),
        ("listener", "socketio", "+publish"),
        ("server", "elsewhere", "&elsewhere"),
    ] {
        let diagnosis = Diagnosis::of(&url_of(user, "s3cret"), channel, &[]).await;
        diagnosis.names("missing-right", right).lacks("no-server");
    }
    // The documented user is enough; what it may not ask for is said, and nothing is wrong.
    let _server = server(&master.url(), "socketio").await;
    let allowed = Diagnosis::of(&url_of("server", "s3cret"), "socketio", &[]).await;
    allowed.is_healthy();
    allowed
        .names("not-checked", "+config|get")
        .names("not-checked", "+pubsub|numsub");

    let (host, port) = master
        .address()
        .split_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    run(&replica, &["REPLICAOF", &host, &port]).await;
    let diagnosis = Diagnosis::of(&replica.url(), "socketio", &[]).await;
    diagnosis
        .names("replica", &master.address())
        .names("replica", "redis+sentinel://");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_a_server_names_the_others_that_are_in_use() {
    let broker = RedisBroker::start().await;
    Diagnosis::of(&broker.url(), "socketio", &[])
        .await
        .names("no-server", "no process listens")
        .lacks("other-channel");

    let private = subscriber(&broker, "chat").await;
    Diagnosis::of(&broker.url(), "socketio", &[])
        .await
        .names("other-channel", "chat");
    drop(private);
    let _others = futures_util::future::join_all(
        ["flask-socketio", "/0.socketio", "socket.io-request#/#"].map(|channel| subscriber(&broker, channel)),
    )
    .await;
    run(&broker, &["XADD", "socket.io", "*", "a", "b"]).await;
    let diagnosis = Diagnosis::of(&broker.url(), "socketio", &[]).await;
    for channel in [
        "flask-socketio",
        "/0.socketio",
        "socket.io-request#/#",
        "socket.io (a stream)",
    ] {
        diagnosis.names("other-channel", channel);
    }
    // With a server on the channel the others do not matter.
    let _server = server(&broker.url(), "socketio").await;
    Diagnosis::of(&broker.url(), "socketio", &[]).await.is_healthy();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_and_one_that_was_cut_off_are_named() {
    let broker = RedisBroker::start().await;
    let mut command = Command::new(tools::sio());
    command.args(["serve", "--listen", "127.0.0.1:0", "--url", &broker.url()]);
    let mut serving = Process::spawn("sio", command);
    serving.next_line(DEADLINE).await.expect("it serves");
    let well = server(&broker.url(), "socketio").await;
    while num_subscribers(&broker).await < 2 {}
    Diagnosis::of(&broker.url(), "socketio", &[])
        .await
        .names("servers", "2 responded")
        .lacks("mute-listeners");
    serving.signal("STOP");
    let diagnosis = Diagnosis::of(&broker.url(), "socketio", &[]).await;
    diagnosis.names("mute-listeners", "listen: 2 or more; servers that are known: 1");
    serving.signal("CONT");

    run(&broker, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    crate::support::eventually("the server admits a gap", || well.io.metrics().hub.gaps > 0).await;
    let diagnosis = Diagnosis::of(&broker.url(), "socketio", &[]).await;
    diagnosis.names("server-gaps", "messages: 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_for_subscribers_below_two_of_the_largest_message_is_named() {
    let broker = RedisBroker::start().await;
    let _server = server(&broker.url(), "socketio").await;
    let message = format!(
        r#"{{"method":"emit","event":"e","data":["{}"],"namespace":"/none"}}"#,
        "x".repeat(60_000)
    );
    let _publishing = publishing(&broker.url(), "socketio", message.into());
    Diagnosis::of(&broker.url(), "socketio", &[]).await.is_healthy();
    run(
        &broker,
        &["CONFIG", "SET", "client-output-buffer-limit", "pubsub 100kb 100kb 60"],
    )
    .await;
    let diagnosis = Diagnosis::of(&broker.url(), "socketio", &[]).await;
    diagnosis.names("output-buffer-limit", "pubsub is 102400 102400 60, and a message of 60");
    diagnosis.names("output-buffer-limit", "256mb 64mb 60");
}

/// Whether the subscriptions of a diagnosis end with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diagnosis_leaves_nothing_behind_and_python_socketio_ignores_its_messages() {
    let broker = RedisBroker::start().await;
    let mut channel = subscriber(&broker, "socketio").await.into_on_message();
    Diagnosis::of(&broker.url(), "socketio", &[])
        .await
        .names("mute-listeners", "python-socketio");
    let message = channel.next().await.unwrap();
    let message: serde_json::Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
    assert_eq!(message["method"], "sio_seek");
    assert_eq!(num_subscribers(&broker).await, 1);
}
