//! Clients that show tokens to a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use socket_io::{Refusal, Socket, SocketIo};

use crate::access::tests::{SECRET, seconds_from_now, secret_keys, signed};
use crate::access::{Access, AccessConfig, AccessLimits, AccessMetrics, Grants, Key, SigningKey};
use crate::tests::{Client, DEADLINE, serve};

/// What every refusal for a token says.
const UNAUTHORIZED: &str = r#"44{"message":"unauthorized","data":{"code":"unauthorized"}}"#;

/// A server whose namespace `/` is protected.
async fn protected(config: AccessConfig) -> (SocketIo, Access, SocketAddr) {
    let access = Access::new(&secret_keys(), config).unwrap();
    let io = SocketIo::new();
    access.protect(&io.namespace("/")).rooms(&io.namespace("/"));
    let address = serve(&io).await;
    (io, access, address)
}

fn token(claims: Value) -> String {
    let mut all = json!({"sub": "ada", "exp": seconds_from_now(60)});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    signed(&SigningKey::secret(SECRET).unwrap(), all)
}

async fn connected(address: SocketAddr, claims: Value) -> Client {
    let (client, answer) = Client::connect(address, &json!({ "token": token(claims) })).await;
    assert!(answer.starts_with("40"), "{answer}");
    client
}

#[tokio::test]
async fn only_a_good_token_connects_and_a_refusal_says_nothing_of_the_reason() {
    let (_io, access, address) = protected(AccessConfig::default()).await;
    let good = token(json!({}));
    let bad = [
        json!({}),
        json!({ "token": null }),
        json!({ "token": 7 }),
        json!({ "token": "" }),
        json!({ "token": token(json!({"exp": 1})) }),
        json!({ "token": token(json!({"aud": "other"})) }),
        json!({ "token": token(json!({"namespaces": "/other"})) }),
        json!({ "token": &good[..good.len() - 2] }),
        json!({ "token": "x".repeat(20_000) }),
    ];
    for auth in &bad {
        let (_, answer) = Client::connect(address, auth).await;
        assert_eq!(answer, UNAUTHORIZED, "{auth}");
    }
    let (_client, answer) = Client::connect(address, &json!({ "token": good })).await;
    assert!(answer.starts_with("40{\"sid\""), "{answer}");
    let expected = AccessMetrics {
        accepted: 1,
        refused: bad.len() as u64,
        ..AccessMetrics::default()
    };
    assert_eq!(access.metrics(), expected);
}

#[tokio::test]
async fn a_token_in_the_query_is_taken_where_it_may_stand_there() {
    let answer_to = async |address: SocketAddr, query: String| {
        let mut client = Client::open(address, &query).await;
        client.send("40").await;
        client.packet().await
    };
    let (_io, _, address) = protected(AccessConfig::default()).await;
    let good = token(json!({}));
    assert!(answer_to(address, format!("&token={good}")).await.starts_with("40"));
    for bad in [
        "&token=",
        &format!("&token={good}&token={good}"),
        &format!("&tokens={good}"),
    ] {
        assert_eq!(answer_to(address, bad.to_owned()).await, UNAUTHORIZED);
    }
    let config = AccessConfig {
        query_parameter: None,
        ..AccessConfig::default()
    };
    let (_io, _, address) = protected(config).await;
    assert_eq!(answer_to(address, format!("&token={good}")).await, UNAUTHORIZED);
}

#[tokio::test]
async fn a_client_joins_and_publishes_as_its_token_says_and_no_further() {
    let (io, _, address) = protected(AccessConfig::default()).await;
    let claims = json!({"rooms": ["order:*"], "enter": "user:ada", "publish": "order:7"});
    let mut ada = connected(address, claims.clone()).await;
    let mut other = connected(address, claims).await;
    assert_eq!(ada.call(&json!(["join", "order:7"])).await, json!(["ok"]));
    assert_eq!(other.call(&json!(["join", "order:7"])).await, json!(["ok"]));
    for forbidden in [json!(["join", "orders"]), json!(["join", "*"]), json!(["join", ""])] {
        assert_eq!(ada.call(&forbidden).await, json!(["not allowed"]), "{forbidden}");
    }
    assert_eq!(
        ada.call(&json!(["join", 7])).await,
        json!(["expected the name of a room"])
    );

    assert_eq!(
        ada.call(&json!(["publish", "order:7", "moved", {"to": 3}, 4])).await,
        json!(["ok"])
    );
    assert_eq!(other.packet().await, r#"42["moved",{"to":3},4]"#);
    assert_eq!(
        ada.call(&json!(["publish", "order:8", "moved"])).await,
        json!(["not allowed"])
    );
    for malformed in [
        json!(["publish", "order:7", "connect"]),
        json!(["publish", "order:7"]),
        json!(["publish"]),
    ] {
        let answer = ada.call(&malformed).await;
        assert!(
            answer != json!(["ok"]) && answer[0].is_string(),
            "{malformed}: {answer}"
        );
    }
    assert_eq!(ada.call(&json!(["leave", "order:7"])).await, json!(["ok"]));
    io.to("user:ada").emit("only once", &()).await.unwrap();
    assert_eq!(ada.packet().await, r#"42["only once"]"#);
}

#[tokio::test]
async fn a_client_whose_token_expires_is_out_within_a_second() {
    let (_io, access, address) = protected(AccessConfig::default()).await;
    let exp = seconds_from_now(2);
    let mut client = connected(address, json!({ "exp": exp })).await;
    let mut other = connected(address, json!({})).await;
    assert_eq!(client.packet().await, r#"42["expired"]"#);
    assert_eq!(client.packet().await, "41");
    let late = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        - exp as f64;
    assert!((0.0..1.0).contains(&late), "{late} s after its expiry");
    // The other one has not expired.
    assert_eq!(other.call(&json!(["join", "x"])).await, json!(["not allowed"]));
    assert_eq!(access.metrics().expired, 1);
}

#[tokio::test]
async fn a_client_that_refreshes_stays_with_the_grants_of_its_new_token() {
    let (io, access, address) = protected(AccessConfig::default()).await;
    let exp = seconds_from_now(2);
    let mut client = connected(address, json!({"exp": exp, "rooms": ["a", "b"], "enter": "c"})).await;
    for room in ["a", "b"] {
        assert_eq!(client.call(&json!(["join", room])).await, json!(["ok"]));
    }
    for (wrong, code) in [
        (json!("not a token"), "unauthorized"),
        (json!(token(json!({"sub": "grace"}))), "unauthorized"),
        (json!(token(json!({"exp": 1}))), "unauthorized"),
        (json!(token(json!({"namespaces": "/x"}))), "unauthorized"),
        (json!(null), "unauthorized"),
    ] {
        assert_eq!(
            client.call(&json!(["refresh", wrong])).await,
            json!([{"ok": false, "code": code}])
        );
    }
    let new_exp = seconds_from_now(60);
    let new = token(json!({"exp": new_exp, "rooms": "b", "enter": "d"}));
    let answer = client.call(&json!(["refresh", {"token": new}])).await;
    assert_eq!(answer, json!([{"ok": true, "expires": new_exp}]));
    assert_eq!(client.call(&json!(["join", "a"])).await, json!(["not allowed"]));
    let clients = io.of("/").fetch_sockets().await.unwrap().found;
    let mut rooms: Vec<_> = clients[0].rooms[1..].iter().map(|room| room.as_str()).collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["b", "d"], "a and c are not allowed any more");

    // Another client that expires later than the first token shows that its time has passed.
    let mut later = connected(address, json!({ "exp": exp + 1 })).await;
    assert_eq!(later.packet().await, r#"42["expired"]"#);
    assert_eq!(client.call(&json!(["join", "b"])).await, json!(["ok"]));
    let metrics = access.metrics();
    assert_eq!((metrics.refreshed, metrics.expired), (1, 1));
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_limited_and_one_connection_is_enough_for_it() {
    let config = AccessConfig {
        limits: AccessLimits {
            refused_per_minute: 5,
            ..AccessLimits::default()
        },
        ..AccessConfig::default()
    };
    let (_io, access, address) = protected(config).await;
    let mut client = Client::open(address, "").await;
    let start = Instant::now();
    for number in 0..100 {
        client.send("40{\"token\":\"wrong\"}").await;
        let answer = client.packet().await;
        let code = if number < 5 {
            "unauthorized"
        } else {
            "too_many_attempts"
        };
        assert!(answer.contains(code), "{number}: {answer}");
    }
    assert!(start.elapsed() < DEADLINE);
    let metrics = access.metrics();
    assert_eq!((metrics.refused, metrics.limited), (5, 95));
    let good = json!({ "token": token(json!({})) });
    let (_, answer) = Client::connect(address, &good).await;
    assert!(answer.contains("too_many_attempts"), "{answer}");
}

#[tokio::test]
async fn a_connected_client_refreshes_although_its_neighbours_show_bad_tokens() {
    let mut config = AccessConfig::default();
    config.limits.refused_per_minute = 2;
    let (_io, access, address) = protected(config).await;
    let mut client = connected(address, json!({})).await;
    for _ in 0..3 {
        Client::connect(address, &json!({ "token": "bad" })).await;
    }
    assert_eq!(access.metrics().limited, 1);
    let good = json!(["refresh", token(json!({"exp": seconds_from_now(90)}))]);
    for _ in 0..2 {
        assert_eq!(client.call(&good).await[0]["ok"], true);
    }
    // Its own bad tokens count, and a good one makes up for them.
    for _ in 0..4 {
        assert_eq!(client.call(&json!(["refresh", "bad"])).await[0]["code"], "unauthorized");
    }
    assert_eq!(client.call(&good).await[0]["ok"], true);
    for _ in 0..5 {
        assert_eq!(client.call(&json!(["refresh", "bad"])).await[0]["code"], "unauthorized");
    }
    assert_eq!(client.call(&good).await[0]["code"], "too_many_attempts");
}

#[tokio::test]
async fn handlers_know_the_grants_and_may_refuse_on_top() {
    let access = Access::new(&secret_keys(), AccessConfig::default()).unwrap();
    let io = SocketIo::new();
    let chat = io.namespace("/");
    access.protect(&chat);
    chat.on_connect(async |socket: Socket, grants: Grants| match grants.subject() {
        Some("ada") => Ok(()),
        _ => Err(Refusal::new("only Ada").with_data(socket.id().as_str())),
    });
    chat.on("who am I", async |grants: Grants| grants.subject().map(str::to_owned));
    let address = serve(&io).await;
    let mut ada = connected(address, json!({})).await;
    assert_eq!(ada.call(&json!(["who am I"])).await, json!(["ada"]));
    let auth = json!({ "token": token(json!({"sub": "grace", "exp": seconds_from_now(60)})) });
    let (_, answer) = Client::connect(address, &auth).await;
    assert!(answer.contains("only Ada"), "{answer}");
    assert_eq!(access.inner.expiries.len(), 1, "a refused client leaves nothing behind");
    drop(ada);
    while access.inner.expiries.len() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn keys_are_exchanged_while_clients_are_connected() {
    let (_io, access, address) = protected(AccessConfig::default()).await;
    let mut client = connected(address, json!({"rooms": "a"})).await;
    access.set_keys(&Key::secret("another secret of more than 32 bytes").unwrap().into());
    let (_, answer) = Client::connect(address, &json!({ "token": token(json!({})) })).await;
    assert_eq!(answer, UNAUTHORIZED);
    assert_eq!(client.call(&json!(["join", "a"])).await, json!(["ok"]));
}

#[tokio::test]
async fn the_subject_is_shown_to_other_servers_where_that_is_wanted() {
    let config = AccessConfig {
        shows_subject: true,
        ..AccessConfig::default()
    };
    let (io, _, address) = protected(config).await;
    let _client = connected(address, json!({})).await;
    let clients = io.of("/").fetch_sockets().await.unwrap().found;
    assert_eq!(clients[0].data_json(), Some(r#"{"sub":"ada"}"#));
}
