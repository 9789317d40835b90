//! The programs of `examples` that each show a feature, with the official client.

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::process::Process;
use integration::{DEADLINE, tools};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::program::Program;

async fn client(program: &Program) -> RealClient {
    RealClient::connected(Kind::Node, &ConnectOptions::to(&program.url())).await
}

/// Emits an event, and returns the one value of its acknowledgement.
async fn ask(client: &mut RealClient, event: &str, arguments: Value) -> Value {
    let answer = client.emit_with_ack(event, arguments, DEADLINE).await;
    let [value] = <[Value; 1]>::try_from(answer.expect("an acknowledgement")).expect("one value");
    value
}

/// Checks which event comes next.
async fn expect(client: &mut RealClient, event: &str, arguments: Value) {
    let message = client.next_message(DEADLINE).await;
    assert_eq!((message.name.as_str(), json!(message.args)), (event, arguments));
}

#[tokio::test]
async fn acknowledgements_go_both_ways() {
    let program = Program::start("acks").await;
    let (mut asking, mut ready, mut busy) = (client(&program).await, client(&program).await, client(&program).await);
    assert_eq!(ask(&mut asking, "add", json!([2, 3])).await, json!(5));
    assert_eq!(
        ask(&mut asking, "divide", json!([7, 2])).await,
        json!({ "quotient": 3 })
    );
    let error = json!({ "error": "division by zero" });
    assert_eq!(ask(&mut asking, "divide", json!([1, 0])).await, error);

    let others = async {
        for (other, answer) in [(&mut ready, true), (&mut busy, false)] {
            let question = other.next_message(DEADLINE).await;
            assert_eq!((question.name.as_str(), &question.args), ("ready?", &vec![json!(7)]));
            other.ack(question.ack.expect("it asks"), json!([answer])).await;
        }
    };
    let (votes, ()) = tokio::join!(ask(&mut asking, "ask the others", json!([7])), others);
    assert_eq!(votes, json!({ "ready": 1, "asked": 2 }));
    program.stop().await;
}

#[tokio::test]
async fn only_known_tokens_are_accepted_and_have_a_name() {
    let program = Program::start("auth").await;
    let mut options = ConnectOptions::to(&program.url());
    for (auth, message, data) in [
        (None, "a token is required", Value::Null),
        (
            Some(json!({ "token": "?" })),
            "unknown token",
            json!({ "retry": false }),
        ),
    ] {
        options.auth = auth;
        let refusal = RealClient::spawn(Kind::Node).await.connect(&options).await.unwrap_err();
        assert_eq!((refusal.message.as_str(), refusal.data), (message, data));
    }
    options.auth = Some(json!({ "token": "ada's" }));
    let mut ada = RealClient::connected(Kind::Node, &options).await;
    for visits in [1, 2] {
        let user = json!({ "name": "Ada", "visits": visits });
        assert_eq!(ask(&mut ada, "who am I?", json!([])).await, user);
    }
    program.stop().await;
}

#[tokio::test]
async fn tokens_say_what_clients_may_do_and_workers_publish_by_http() {
    let (secret, key) = (
        "a secret of at least 32 bytes, for tokens",
        "a-key-of-at-least-32-bytes-for-workers",
    );
    let variables = [("TOKEN_SECRET", secret), ("API_KEY", key)];
    let program = Program::start_with("with_tokens", &["127.0.0.1:0"], &variables).await;
    let signing = gateway::access::SigningKey::secret(secret).unwrap();
    let token = |publish: bool| {
        let claims = json!({"sub": "ada", "exp": 4_000_000_000_u64, "rooms": "order:*", "publish": publish});
        signing.sign(claims.as_object().unwrap()).unwrap()
    };
    let mut options = ConnectOptions::to(&program.url());
    let refusal = RealClient::spawn(Kind::Node).await.connect(&options).await.unwrap_err();
    assert_eq!(refusal.data, json!({"code": "unauthorized"}));
    options.auth = Some(json!({ "token": token(false) }));
    let mut reading = RealClient::connected(Kind::Node, &options).await;
    options.auth = Some(json!({ "token": token(true) }));
    let mut closing = RealClient::connected(Kind::Node, &options).await;
    assert_eq!(ask(&mut reading, "join", json!(["order:7"])).await, json!("ok"));
    assert_eq!(ask(&mut reading, "close order", json!([7])).await, json!("not allowed"));
    assert_eq!(ask(&mut closing, "close order", json!([7])).await, json!("closed"));
    expect(&mut reading, "closed", json!(["ada"])).await;
    let mut curl = Command::new("curl");
    let url = format!("{}/api/emit", program.url());
    curl.args([
        "-sf",
        &url,
        "-H",
        &format!("Authorization: Bearer {key}"),
        "-d",
        r#"{"event":"news","rooms":"order:7"}"#,
    ]);
    let published = curl.output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&published.stdout), r#"{"accepted":1}"#);
    expect(&mut reading, "news", json!([])).await;
    program.stop().await;
}

#[tokio::test]
async fn middleware_logs_refuses_and_changes() {
    let mut program = Program::start("middleware").await;
    let old = ConnectOptions::to(&format!("{}?version=1", program.url()));
    let refusal = RealClient::spawn(Kind::Node).await.connect(&old).await.unwrap_err();
    assert_eq!(refusal.message, "please reload the page");

    let new = ConnectOptions::to(&format!("{}?version=2", program.url()));
    let mut client = RealClient::connected(Kind::Node, &new).await;
    assert_eq!(ask(&mut client, "say", json!(["  hello "])).await, json!("hello"));
    client.emit("admin: stop", json!([])).await;
    assert_eq!(ask(&mut client, "become admin", json!(["a guess"])).await, json!(false));
    assert_eq!(ask(&mut client, "become admin", json!(["a secret"])).await, json!(true));
    assert_eq!(ask(&mut client, "admin: stop", json!([])).await, json!("stopped"));
    for event in ["say", "admin: stop", "become admin", "become admin", "admin: stop"] {
        let line = program.process.next_line(DEADLINE).await;
        assert_eq!(line.as_deref(), Some(format!("{event} in /").as_str()));
    }
    program.stop().await;
}

#[tokio::test]
async fn a_room_lists_those_in_it_and_is_told_who_comes_and_goes() {
    let program = Program::start("presence").await;
    let (mut ada, mut grace, mut joan) = (client(&program).await, client(&program).await, client(&program).await);
    assert_eq!(ask(&mut ada, "enter", json!(["kitchen", "Ada"])).await, json!(["Ada"]));
    let both = json!(["Ada", "Grace"]);
    assert_eq!(ask(&mut grace, "enter", json!(["kitchen", "Grace"])).await, both);
    expect(&mut ada, "entered", json!(["kitchen", "Grace"])).await;
    assert_eq!(
        ask(&mut joan, "enter", json!(["garden", "Joan"])).await,
        json!(["Joan"])
    );

    grace.disconnect().await;
    expect(&mut ada, "left", json!(["kitchen", "Grace"])).await;
    joan.disconnect().await;
    let last = json!(["Ada", "Joan"]);
    let mut joan = client(&program).await;
    assert_eq!(ask(&mut joan, "enter", json!(["kitchen", "Joan"])).await, last);
    // Of the garden nothing was told here.
    expect(&mut ada, "entered", json!(["kitchen", "Joan"])).await;
    program.stop().await;
}

#[tokio::test]
async fn processes_are_one_server_and_a_worker_tells_them_its_progress() {
    let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
    let variables = [("REDIS_URL", url.as_str()), ("CHANNEL", &channel)];
    let start = async || Program::start_with("processes", &["127.0.0.1:0"], &variables).await;
    let (one, two) = (start().await, start().await);
    let (mut watching, mut other) = (client(&one).await, client(&two).await);
    let mut both = [one.pid(), two.pid()];
    both.sort_unstable();
    assert_eq!(ask(&mut other, "servers", json!([])).await, json!(both));
    assert_eq!(ask(&mut watching, "watch", json!(["job 7"])).await, json!(true));
    assert_eq!(ask(&mut other, "watch", json!(["job 8"])).await, json!(true));

    let mut worker = Command::new(tools::example("worker"));
    worker.arg("7").envs(variables);
    let mut worker = Process::spawn("worker", worker);
    for percent in [25, 50, 75, 100] {
        let line = worker.next_line(DEADLINE).await;
        assert_eq!(line.as_deref(), Some(format!("job 7: {percent} %").as_str()));
        expect(&mut watching, "progress", json!([percent])).await;
    }
    expect(&mut watching, "done", json!([{ "job": "7", "sum": 30 }])).await;
    assert!(worker.wait(DEADLINE).await.success(), "{}", worker.stderr());

    // The other process passes on what is said, and its client got nothing of a job that it does
    // not watch.
    watching.emit("say", json!(["job 8", "hello"])).await;
    expect(&mut other, "said", json!(["hello"])).await;
    one.stop().await;
    two.stop().await;
}
