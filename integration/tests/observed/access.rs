//! What moves the metrics of tokens and of the HTTP API.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use gateway::access::SigningKey;
use gateway::config::{ByteSize, Config, Secret};
use gateway::listen::{Address, Bound};
use gateway::server::{Server, admission};
use manager_api::memory::MemoryBus;
use serde_json::json;

use super::watch::Watch;
use crate::support::Client;
use crate::support::http::request;

const SECRET: &str = "a secret that has at least 32 bytes";
const API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A ready-made server whose clients need tokens, and whose address may show two bad ones a minute.
pub(super) async fn counted(watch: &mut Watch) {
    let config = Config {
        token_key: Some(Secret::new(SECRET)),
        api_keys: Some(Secret::new(API_KEY)),
        max_refused_tokens: 2,
        max_api_body: ByteSize(100),
        ..Config::default()
    };
    let admission = admission(&config).unwrap();
    let server = Server::new(&config, MemoryBus::new().manager("c"), &admission).unwrap();
    let mut own = Watch::of(server.observed());
    let bound = Bound::bind(&Address::local(0)).await.unwrap();
    let Bound::Tcp(listener) = &bound else {
        panic!("a port is TCP");
    };
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(bound, None, std::future::pending()).await });

    tokens(&mut own, address).await;
    api(&mut own, address).await;
    watch.moved.append(&mut own.moved);
}

async fn tokens(own: &mut Watch, address: SocketAddr) {
    let show = |token: &str| format!("40{}", json!({ "token": token }));
    let (first, second) = (show(&token(1)), token(600));
    let connected = own.during(&["sio_tokens_accepted_total"], Client::ask(address, &first));
    let (mut leaving, answer) = connected.await;
    assert!(answer.starts_with("40{"), "{answer}");
    own.during(&["sio_tokens_expired_total"], async {
        assert_eq!(leaving.packet().await, "42[\"expired\"]");
        assert_eq!(leaving.packet().await, "41");
    })
    .await;

    let (mut client, _) = Client::ask(address, &show(&second)).await;
    let later = token(1_200);
    own.during(&["sio_tokens_refreshed_total"], client.call("refresh", &later))
        .await;
    let refused = async {
        for _ in 0..2 {
            let (_, answer) = Client::ask(address, &show("bad")).await;
            assert!(answer.starts_with("44{"), "{answer}");
        }
    };
    own.during(&["sio_tokens_refused_total"], refused).await;
    // A good one, too: it is not looked at.
    own.during(&["sio_tokens_limited_total"], Client::ask(address, &show(&second)))
        .await;
}

async fn api(own: &mut Watch, address: SocketAddr) {
    let post = async |headers: &str, body: &str| {
        let headers = format!("content-type: application/json\r\n{headers}");
        let response = request(Ipv4Addr::LOCALHOST, address, "POST", "/api/emit", &headers, body).await;
        response.unwrap().status
    };
    let good = format!("authorization: Bearer {API_KEY}\r\n");
    let body = r#"{"rooms":["r"],"event":"e"}"#;
    let names = ["sio_api_requests_total", "sio_api_events_total"];
    assert_eq!(own.during(&names, post(&good, body)).await, 200);
    let names = ["sio_api_unauthorized_total"];
    assert_eq!(own.during(&names, post("", body)).await, 401);
    let long = format!(r#"{{"event":"e","data":"{}"}}"#, "x".repeat(100));
    let names = ["sio_api_refused_total"];
    assert_eq!(own.during(&names, post(&good, &long)).await, 413);
}

/// A token that expires in some seconds.
fn token(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let expiry = now.unwrap_or(Duration::ZERO).as_secs() + seconds;
    let claims = json!({"sub": "ada", "exp": expiry, "rooms": ["*"]});
    let key = SigningKey::secret(SECRET).unwrap();
    key.sign(claims.as_object().unwrap()).unwrap()
}
