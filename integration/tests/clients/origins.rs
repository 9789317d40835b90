//! Pages of other origins, in a browser that enforces what the server answers.

use std::net::TcpListener;

use integration::DEADLINE;
use integration::client::{ConnectOptions, Kind, RealClient};
use serde_json::json;
use socket_io::SocketIo;

use crate::served::{Served, any_port};

const PAGE: &str = "http://shop.localhost:8080/index.html";
const ORIGIN: &str = "http://shop.localhost:8080";

/// A server for pages of `allowed`, or of its own origin alone, and how the page of the tests connects to it.
fn serve(allowed: Option<&str>) -> (Served, ConnectOptions) {
    let listener: TcpListener = any_port();
    let builder = SocketIo::builder().configure(|config| {
        if let Some(origin) = allowed {
            config.engine.cors_allowed_origins = origin.into();
        }
    });
    let server = Served::start_on(listener, builder);
    let options = ConnectOptions {
        page: Some(PAGE.to_owned()),
        ..ConnectOptions::to(&server.url())
    };
    (server, options)
}

async fn talks(options: &ConnectOptions) {
    let mut client = RealClient::connected(Kind::Browser, options).await;
    let echo = client.emit_with_ack("echo", json!(["from afar"]), DEADLINE).await;
    assert_eq!(echo, Some(vec![json!("from afar")]));
}

async fn is_refused(server: &Served, options: &ConnectOptions) {
    let mut client = RealClient::spawn(Kind::Browser).await;
    client.connect(options).await.expect_err("the server refuses the page");
    assert_eq!(server.io.metrics().engine.opened, 0);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_by_polling() {
    let (server, options) = serve(None);
    is_refused(&server, &options.only("polling")).await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_by_websocket() {
    let (server, options) = serve(None);
    is_refused(&server, &options.only("websocket")).await;
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_the_allowed_one_is_refused() {
    let (server, options) = serve(Some("http://shop.localhost:8081"));
    is_refused(&server, &options).await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_talks_by_polling() {
    let (_server, options) = serve(Some(ORIGIN));
    talks(&options.only("polling")).await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_upgrades() {
    let (_server, options) = serve(Some(ORIGIN));
    let mut client = RealClient::connected(Kind::Browser, &options).await;
    client.upgraded_to("websocket").await;
}

#[tokio::test]
async fn headers_of_a_page_of_an_allowed_origin_pass_the_preflight() {
    let (mut server, mut options) = serve(Some("*"));
    options.headers.insert("x-test".to_owned(), "a header".to_owned());
    talks(&options.only("polling")).await;
    let (socket, _) = server.accepted().await;
    assert_eq!(socket.handshake().header("x-test"), Some("a header"));
}
