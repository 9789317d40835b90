//! Pages of other origins, in a browser that enforces the server's responses.

use std::net::TcpListener;

use integration::DEADLINE;
use integration::client::{ConnectOptions, Kind, RealClient};
use serde_json::json;
use socket_io::SocketIo;
use socket_io::config::{AllowedOrigins, Config};

use crate::served::{Served, any_port};

const PAGE: &str = "http://shop.localhost:8080/index.html";
const ORIGIN: &str = "http://shop.localhost:8080";

/// A server for pages of `allowed`, or of its own origin alone, and how the page of the tests connects to it.
fn serve(allowed: Option<&str>) -> (Served, ConnectOptions) {
    serve_with(|config| {
        if let Some(origin) = allowed {
            config.engine.cors_allowed_origins = origin.into();
        }
    })
}

fn serve_with(change: impl FnOnce(&mut Config)) -> (Served, ConnectOptions) {
    let listener: TcpListener = any_port();
    let builder = SocketIo::builder().configure(change);
    let server = Served::start_on(listener, builder);
    let options = ConnectOptions {
        page: Some(PAGE.to_owned()),
        ..ConnectOptions::to(&server.url())
    };
    (server, options)
}

async fn talks(options: &ConnectOptions) {
    let mut client = RealClient::connected(Kind::Browser, options).await;
    let echo = client
        .emit_with_ack("echo", json!(["from another origin"]), DEADLINE)
        .await;
    assert_eq!(echo, Some(vec![json!("from another origin")]));
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

#[tokio::test]
async fn a_page_of_one_of_several_allowed_origins_talks() {
    let list = ["http://other.localhost:8080", ORIGIN];
    let (_server, options) = serve_with(|config| config.engine.cors_allowed_origins = list.into());
    talks(&options).await;
}

#[tokio::test]
async fn a_function_decides_whose_pages_talk() {
    let matching = AllowedOrigins::matching(|origin, _| origin == ORIGIN);
    let (server, mut options) = serve_with(|config| config.engine.cors_allowed_origins = matching);
    let page = options.page.replace("http://shop.localhost:8081/index.html".to_owned());
    is_refused(&server, &options).await;
    options.page = page;
    talks(&options).await;
}

#[tokio::test]
async fn where_nothing_answers_for_origins_the_browser_refuses_polling_but_no_websocket() {
    let (server, options) = serve_with(|config| config.engine.cors_allowed_origins = AllowedOrigins::Off);
    let mut client = RealClient::spawn(Kind::Browser).await;
    let polling = options.clone().only("polling");
    client
        .connect(&polling)
        .await
        .expect_err("the browser refuses the page");
    assert!(
        server.io.metrics().engine.opened > 0,
        "the server itself refuses nothing"
    );
    talks(&options.only("websocket")).await;
}

#[tokio::test]
async fn a_page_may_send_its_cookies_unless_the_server_does_not_want_them() {
    let (_server, mut options) = serve(Some(ORIGIN));
    options.with_credentials = true;
    talks(&options.only("polling")).await;

    let (_server, options) = serve_with(|config| {
        config.engine.cors_allowed_origins = ORIGIN.into();
        config.engine.cors_credentials = false;
    });
    let mut options = options.only("polling");
    talks(&options).await;
    options.with_credentials = true;
    let mut client = RealClient::spawn(Kind::Browser).await;
    client
        .connect(&options)
        .await
        .expect_err("the browser refuses the page");
}
