//! The cookie for load balancers.

use std::time::Duration;

use engine_io::Config;
use engine_io::config::{Cookie, SameSite};

use crate::client::Ws;
use crate::support::{Server, poll};

const OPEN: &str = "/?EIO=4&transport=polling";

async fn cookie_of(cookie: Option<Cookie>) -> (Option<String>, String) {
    let config = Config {
        cookie,
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let response = server.get(OPEN).await;
    let sid = server.opened().await.0.id().to_owned();
    (response.header("set-cookie").map(str::to_owned), sid)
}

#[tokio::test]
async fn there_is_none_unless_it_is_asked_for() {
    assert_eq!(cookie_of(None).await.0, None);
}

#[tokio::test]
async fn the_default_is_that_of_node() {
    let (cookie, sid) = cookie_of(Some(Cookie::default())).await;
    assert_eq!(cookie, Some(format!("io={sid}; Path=/; HttpOnly; SameSite=Lax")));
}

#[tokio::test]
async fn every_attribute_can_be_set_or_left_out() {
    let (cookie, sid) = cookie_of(Some(Cookie {
        name: "node".to_owned(),
        path: Some("/chat".to_owned()),
        domain: Some("example.org".to_owned()),
        max_age: Some(Duration::from_secs(3600)),
        http_only: true,
        secure: true,
        same_site: Some(SameSite::None),
    }))
    .await;
    let attributes = "Path=/chat; Domain=example.org; Max-Age=3600; HttpOnly; Secure; SameSite=None";
    assert_eq!(cookie, Some(format!("node={sid}; {attributes}")));
    let (cookie, sid) = cookie_of(Some(Cookie {
        path: None,
        http_only: false,
        same_site: None,
        ..Cookie::named("bare")
    }))
    .await;
    assert_eq!(cookie, Some(format!("bare={sid}")));
}

#[tokio::test]
async fn only_the_handshake_of_long_polling_sets_it() {
    let mut server = Server::start(Config {
        cookie: Some(Cookie::default()),
        ..Config::default()
    })
    .await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4x").await.header("set-cookie"), None);
    assert_eq!(server.get(&poll(&sid)).await.header("set-cookie"), None);
    assert_eq!(server.get(&poll("unknown")).await.header("set-cookie"), None);
    let target = "/?EIO=4&transport=websocket";
    assert!(!Ws::connect_with(server.addr, target, "").await.1.contains("set-cookie"));
    let target = format!("{target}&sid={sid}");
    assert!(
        !Ws::connect_with(server.addr, &target, "")
            .await
            .1
            .contains("set-cookie")
    );
}

#[test]
#[should_panic(expected = "SameSite=None must be secure")]
fn an_engine_is_not_made_of_contradictions() {
    Server::new(
        Config {
            cookie: Some(Cookie {
                same_site: Some(SameSite::None),
                ..Cookie::default()
            }),
            ..Config::default()
        },
        ([127, 0, 0, 1], 0).into(),
    );
}
