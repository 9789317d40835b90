//! What a configuration is refused for, before and while a server runs.

use manager_api::memory::MemoryBus;

use serde_json::json;

use super::*;
use crate::access::SigningKey;
use crate::access::tests::{SECRET, seconds_from_now, signed};
use crate::config::ByteSize;
use crate::tests::{Client, serve};

const API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The key that a configuration is refused for.
fn refused(change: impl FnOnce(&mut Config)) -> Option<String> {
    let mut config = Config::default();
    change(&mut config);
    check(&config).err().map(|problem| problem.to_string())
}

#[test]
fn what_serve_would_refuse_is_found_by_the_check() {
    let secret = |text: &str| Some(Secret::new(text));
    assert_eq!(refused(|_| {}), None);
    for (said, problem) in [
        (
            "/admin",
            refused(|config| {
                config.namespaces = vec!["/admin".to_owned()];
                (config.admin_ui, config.admin_ui_password) = (true, secret("long enough"));
            }),
        ),
        (
            "bcrypt",
            refused(|config| (config.admin_ui, config.admin_ui_password) = (true, secret("$2b$nonsense"))),
        ),
        (
            "/api",
            refused(|config| {
                config.api_keys = secret(API_KEY);
                config.path = "/api".to_owned();
            }),
        ),
        (
            "/nonexistent.pem",
            refused(|config| {
                let file = Some("/nonexistent.pem".to_owned());
                (config.tls_cert, config.tls_key) = (file.clone(), file);
            }),
        ),
        (
            "not a folder",
            refused(|config| config.static_files = Some("/nonexistent".to_owned())),
        ),
        (
            "Unix socket",
            refused(|config| config.admin_listen = Some(Address::Unix("/tmp/x".into()))),
        ),
        (
            "address of the clients",
            refused(|config| config.admin_listen = Some(config.listen.clone())),
        ),
    ] {
        let problem = problem.unwrap_or_else(|| panic!("{said}: it is accepted"));
        assert!(problem.contains(said), "{problem}");
    }
}

#[tokio::test]
async fn keys_that_were_all_removed_are_not_said_to_be_taken_over() {
    let with_keys = Config {
        token_key: Some(Secret::new(SECRET)),
        api_keys: Some(Secret::new(API_KEY)),
        max_payload: ByteSize(1_000),
        ..Config::default()
    };
    let server = |config: &Config| {
        let admission = admission(config).unwrap();
        Server::new(config, MemoryBus::new().manager("c"), &admission).unwrap()
    };
    let (secured, open) = (server(&with_keys), server(&Config::default()));
    secured.reload(&with_keys).unwrap();
    open.reload(&Config::default()).unwrap();
    let mut fewer = with_keys.clone();
    fewer.api_keys = None;
    for (server, config) in [(&secured, &Config::default()), (&secured, &fewer), (&open, &with_keys)] {
        let problem = server.reload(config).unwrap_err().to_string();
        assert!(problem.contains("takes a restart"), "{problem}");
    }
}

#[tokio::test]
async fn rooms_of_a_token_and_of_the_query_count_together() {
    let config = Config {
        token_key: Some(Secret::new(SECRET)),
        max_rooms: 3,
        ..Config::default()
    };
    let admission = admission(&config).unwrap();
    let server = Server::new(&config, MemoryBus::new().manager("c"), &admission).unwrap();
    let address = serve(server.io()).await;
    let claims = json!({"exp": seconds_from_now(60), "rooms": "*", "enter": ["a", "b"]});
    let auth = json!({ "token": signed(&SigningKey::secret(SECRET).unwrap(), claims) });
    let answer_to = async |query: &str| {
        let mut client = Client::open(address, query).await;
        client.send(&format!("40{auth}")).await;
        client.packet().await
    };
    assert!(answer_to("&room=c").await.starts_with("40"));
    assert!(answer_to("&room=c,d").await.contains("at most 3 rooms"));
}
