//! HTTP requests before and beside Socket.IO: layers, cookies, files.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::{HeaderMap, header};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::{DEADLINE, tools};
use serde_json::json;
use socket_io::SocketIo;
use socket_io::config::Cookie;
use socket_io::extract::Extension;
use socket_io::manager_api::Payload;
use socket_io::static_files::StaticFiles;
use tokio::net::TcpListener;

use super::Way;

by_upgrade! {
    extension as what_a_layer_puts_into_the_request_reaches_the_handlers,
    cookie as the_cookie_of_a_session_comes_back_with_all_its_requests,
}

/// Starts an application of axum, and returns its port.
async fn serve(app: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, app).await });
    port
}

fn options(way: Way, url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::to(url);
    options.with_credentials = way.kind == Kind::Node;
    options
}

/// Whose data a request is about.
#[derive(Clone)]
struct Tenant(String);

async fn extension(way: Way) {
    let io = SocketIo::new();
    io.namespace("/")
        .on_connect(async |Extension(Tenant(name)): Extension<Tenant>| name.starts_with("127.0.0.1:"))
        .on("whose?", async |Extension(Tenant(name)): Extension<Tenant>| name);
    let layer = from_fn(async |mut request: Request, next: Next| {
        let host = request.headers()[header::HOST].to_str().unwrap_or_default().to_owned();
        request.extensions_mut().insert(Tenant(host));
        next.run(request).await
    });
    let port = serve(Router::new().layer(io.layer()).layer(layer)).await;
    let mut client = RealClient::connected(way.kind, &options(way, &format!("http://127.0.0.1:{port}"))).await;
    way.settled(&mut client).await;
    let answer = client.emit_with_ack("whose?", json!([]), DEADLINE).await;
    assert_eq!(answer, Some(vec![json!(format!("127.0.0.1:{port}"))]));
}

/// The query and the cookies of a request.
type Line = (String, Option<String>);

fn line(query: &str, headers: &HeaderMap) -> Line {
    let cookie = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
    (query.to_owned(), cookie.map(str::to_owned))
}

async fn cookie(way: Way) {
    let io = SocketIo::builder()
        .configure(|config| config.engine.cookie = Some(Cookie::named("sticky")))
        .build();
    io.namespace("/").on("echo", async |arguments: Payload| arguments);
    let lines = Arc::<Mutex<Vec<Line>>>::default();
    let log = Arc::clone(&lines);
    let layer = from_fn(move |request: Request, next: Next| {
        let line = line(request.uri().query().unwrap_or_default(), request.headers());
        log.lock().unwrap().push(line);
        next.run(request)
    });
    let port = serve(Router::new().layer(io.layer()).layer(layer)).await;
    // The HTTP client of python-socketio stores no cookies for IP addresses.
    let host = if way.kind == Kind::Python {
        "localhost"
    } else {
        "127.0.0.1"
    };
    let mut client = RealClient::connected(way.kind, &options(way, &format!("http://{host}:{port}"))).await;
    way.settled(&mut client).await;
    let echo = client.emit_with_ack("echo", json!([1]), DEADLINE).await;
    assert_eq!(echo, Some(vec![json!(1)]));

    let lines = lines.lock().unwrap().clone();
    assert_eq!(lines[0].1, None);
    for (query, cookie) in &lines[1..] {
        let sid = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("sid="))
            .expect(query);
        assert_eq!(cookie.as_deref(), Some(format!("sticky={sid}").as_str()), "{query}");
    }
    let num = |transport| lines[1..].iter().filter(|(query, _)| query.contains(transport)).count();
    assert_eq!(num("transport=websocket"), 1);
    // python-socketio's client polls once, and upgrades at once.
    assert!(num("transport=polling") > 0 || way.kind == Kind::Python, "{lines:?}");
}

/// Connects to the page's own server, and reports as the scripts do.
const PAGE: &str = r#"<!doctype html><script src="/client/socket.io.min.js"></script><script>
const socket = io();
socket.on("connect", async () => {
  const answer = await socket.emitWithAck("echo", "from the page");
  say({ event: "message", namespace: "/", name: "answered", args: [answer], ack: null });
});
</script>"#;

#[tokio::test]
async fn a_browser_has_page_and_client_from_the_server_and_connects_to_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), PAGE).unwrap();
    let files = StaticFiles::new()
        .dir("/", folder.path())
        .dir("/client", tools::node_modules().join("socket.io-client/dist"));
    let io = SocketIo::new();
    io.namespace("/").on("echo", async |arguments: Payload| arguments);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(socket_io::service::serve_with(
        listener,
        io,
        files.service(),
        std::future::pending(),
    ));
    let mut browser = RealClient::spawn(Kind::Browser).await;
    browser.command(json!({ "cmd": "visit", "url": url })).await;
    let message = browser.next_message(DEADLINE).await;
    assert_eq!(
        (message.name.as_str(), message.args),
        ("answered", vec![json!("from the page")])
    );
}
