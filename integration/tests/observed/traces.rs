//! One trace from the job that emits to the delivery.

use std::io;
use std::sync::{Arc, Mutex};

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::process::Process;
use integration::python::{PyManager, PyServer};
use integration::{DEADLINE, managers, tools};
use manager_api::trace::TraceParent;
use manager_api::{ClientManager, Emitter};
use serde_json::{Value, json};
use socket_io::SocketIo;
use tokio::process::Command;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::support::{Client, Server, eventually};

/// Lines of JSON, one for each span that begins.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<u8>>>);

impl io::Write for Spans {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spans {
    /// Records the spans of this thread, which everything in these tests runs on.
    fn record(&self) -> tracing::subscriber::DefaultGuard {
        let spans = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::INFO)
            .with_span_events(FmtSpan::NEW)
            .with_writer(move || spans.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    /// The spans of a name.
    fn named(&self, name: &str) -> Vec<Value> {
        let lines = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .map(|mut line| line["span"].take())
            .filter(|span| span["name"] == name)
            .collect()
    }
}

async fn server(url: &str, channel: &str) -> Server {
    Server::start(SocketIo::builder().manager(managers::on_channel(url, channel))).await
}

#[tokio::test]
async fn spans_of_emitter_and_server_are_one_trace_and_others_have_none() {
    let spans = Spans::default();
    let _recording = spans.record();
    let (url, channel) = (RedisBroker::shared().await.url(), unique_channel());
    let server = server(url, &channel).await;
    let mut client = Client::connect(server.address, &["room"]).await;
    let emitter = Emitter::new(managers::on_channel(url, &channel));
    let parent = TraceParent::random();
    emitter.to("room").emit("m", &1).await.unwrap();
    emitter.to("room").traceparent(parent).emit("m", &2).await.unwrap();
    for number in [1, 2] {
        assert_eq!(client.event::<(u64,)>("m").await, (number,));
    }
    let (emits, deliveries) = (spans.named("emit"), spans.named("deliver"));
    assert_eq!((emits.len(), deliveries.len()), (1, 1), "{emits:?} {deliveries:?}");
    let (emit, delivery) = (&emits[0], &deliveries[0]);
    assert_eq!(emit["trace_id"], parent.trace_id().as_str());
    assert_eq!(delivery["trace_id"], emit["trace_id"]);
    assert_eq!(emit["parent_span_id"], parent.span_id().as_str());
    assert_eq!(delivery["parent_span_id"], emit["span_id"]);
    assert_ne!(delivery["span_id"], emit["span_id"]);
    assert_eq!((&delivery["event"], &delivery["namespace"]), (&json!("m"), &json!("/")));
}

#[tokio::test]
async fn a_job_of_opentelemetry_in_python_and_the_delivery_are_one_trace() {
    let spans = Spans::default();
    let _recording = spans.record();
    let (url, channel) = (RedisBroker::shared().await.url(), unique_channel());
    let server = server(url, &channel).await;
    let mut client = Client::connect(server.address, &["room"]).await;
    let mut command = Command::new(tools::python());
    command.arg("-B").arg(tools::script("otel_worker.py")).arg(tools::sio());
    command.args(["emit", "--url", url, "--channel", &channel, "--room", "room", "m", "7"]);
    let mut worker = Process::spawn("a worker in Python", command);
    worker.close_stdin();
    let job: Value = serde_json::from_str(&worker.next_line(DEADLINE).await.unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {}", worker.stderr()));
    assert_eq!(client.event::<(u64,)>("m").await, (7,));
    let deliveries = spans.named("deliver");
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    assert_eq!(deliveries[0]["trace_id"], job["trace_id"]);
    assert_eq!(deliveries[0]["parent_span_id"], job["span_id"]);
    assert!(worker.wait(DEADLINE).await.success(), "{}", worker.stderr());
}

#[tokio::test]
async fn an_extension_that_is_malformed_is_counted_and_its_event_delivered() {
    let (url, channel) = (RedisBroker::shared().await.url(), unique_channel());
    let server = server(url, &channel).await;
    let mut client = Client::connect(server.address, &[]).await;
    let manager = managers::on_channel(url, &channel);
    let malformed = [
        r#""sent_us":-1"#.to_owned(),
        r#""sent_us":"now","traceparent":7"#.to_owned(),
        format!(r#""sent_us":1,"traceparent":"{}""#, "x".repeat(100_000)),
        r#""traceparent":"00-00000000000000000000000000000000-00f067aa0ba902b7-01""#.to_owned(),
    ];
    for extension in &malformed {
        let message = format!(
            r#"{{"method":"emit","event":"m","data":[1],"binary":false,"namespace":"/","room":null,"sio":{{"v":1,{extension}}},"host_id":"h"}}"#
        );
        manager.publish(message.into()).await.unwrap();
        assert_eq!(client.event::<(u64,)>("m").await, (1,));
    }
    let hub = server.io.metrics().hub;
    assert_eq!((hub.malformed_extensions, hub.undecodable), (5, 0));
}

#[tokio::test]
async fn servers_of_python_ignore_the_trace_and_the_time_of_an_event() {
    let (url, channel) = (RedisBroker::shared().await.url(), unique_channel());
    let python = PyServer::start(PyManager::Redis, url, &channel).await;
    let mut client = RealClient::connected(Kind::Python, &ConnectOptions::to(python.url())).await;
    let emitter = Emitter::new(managers::on_channel(url, &channel));
    let traced = emitter.broadcast().traceparent(TraceParent::random());
    traced.emit("m", &json!({ "a": 1 })).await.unwrap();
    assert_eq!(client.next_message(DEADLINE).await.args, [json!({ "a": 1 })]);
}

#[tokio::test]
async fn lines_about_a_traced_delivery_and_about_clients_are_objects_with_their_ids() {
    let (url, channel) = (RedisBroker::shared().await.url(), unique_channel());
    let mut command = Command::new(tools::sio());
    command
        .args(["serve", "--listen", "127.0.0.1:0", "-vv", "--log-format", "json"])
        .args(["--url", url, "--channel", &channel])
        .env_remove("RUST_LOG");
    let mut serving = Process::spawn("sio serve", command);
    let line = serving.next_line(DEADLINE).await.unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let client = Client::connect(address.unwrap().parse().unwrap(), &[]).await;
    let parent = TraceParent::random();
    let emitter = Emitter::new(managers::on_channel(url, &channel));
    let traced = emitter.to(client.sid.as_str()).traceparent(parent);
    traced.emit("m", &1).await.unwrap();
    let sid = client.sid.clone();
    eventually("a line for the delivery", || {
        serving.stderr().contains("delivered an event")
    })
    .await;
    drop(client);
    eventually("a line for the end", || {
        serving.stderr().contains("client disconnected")
    })
    .await;
    serving.signal("TERM");
    serving.wait(DEADLINE).await;
    let lines: Vec<Value> = serving
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let find = |text: &str| {
        lines
            .iter()
            .find(|line| line["message"] == text)
            .unwrap_or_else(|| panic!("{text}: {lines:?}"))
    };
    let delivered = find("delivered an event of another process");
    assert_eq!(delivered["span"]["trace_id"], parent.trace_id().as_str());
    assert_eq!(delivered["clients"], 1);
    for text in ["client connected", "client disconnected"] {
        let line = find(text);
        assert_eq!((&line["sid"], &line["namespace"]), (&json!(sid), &json!("/")), "{line}");
    }
}
