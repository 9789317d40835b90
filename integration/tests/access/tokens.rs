//! Tokens that PyJWT and jose have made, shown by the clients of JavaScript and Python.

use std::time::{Duration, SystemTime};

use integration::DEADLINE;
use integration::client::{ConnectOptions, Kind, RealClient};
use serde_json::{Value, json};

use super::{AUDIENCE, Maker, SECRET, connect, pem, protected};

/// The seconds since 1970.
fn now() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or(Duration::ZERO).as_secs_f64()
}

/// The claims of a good token, with others in their place.
fn claims(others: Value) -> Value {
    let mut claims = json!({"sub": "ada", "exp": now() as u64 + 600, "aud": AUDIENCE, "rooms": ["order:*"]});
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn ask(client: &mut RealClient, event: &str, arguments: Value) -> Value {
    json!(client.emit_with_ack(event, arguments, DEADLINE).await)
}

#[tokio::test]
async fn tokens_of_every_algorithm_made_elsewhere_connect_every_client() {
    let (_io, access, address) = protected().await;
    let mut num_accepted = 0;
    for (name, mut maker) in Maker::all() {
        for alg in [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
        ] {
            let token = maker.sign(alg, &claims(json!({}))).await;
            access
                .verifier()
                .verify(&token)
                .unwrap_or_else(|fault| panic!("{name}, {alg}: {fault}"));
            // One algorithm of each kind is enough for the clients, which take a second to start.
            let kinds: &[Kind] = if matches!(alg, "HS256" | "RS256" | "ES256" | "EdDSA") {
                &Kind::ALL
            } else {
                &[]
            };
            for kind in kinds {
                let mut client = connect(*kind, address, &token)
                    .await
                    .unwrap_or_else(|refusal| panic!("{name}, {alg}: {refusal:?}"));
                assert_eq!(ask(&mut client, "join", json!(["order:7"])).await, json!(["ok"]));
                assert_eq!(ask(&mut client, "join", json!(["other"])).await, json!(["not allowed"]));
                num_accepted += 1;
            }
        }
    }
    assert_eq!((access.metrics().accepted, access.metrics().refused), (num_accepted, 0));
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused_to_every_client_without_a_reason() {
    let (_io, access, address) = protected().await;
    let mut clients = Vec::new();
    for kind in Kind::ALL {
        clients.push((kind, RealClient::spawn(kind).await));
    }
    for (name, mut maker) in Maker::all() {
        let mut bad = vec![("alg none", maker.sign("none", &claims(json!({}))).await)];
        for alg in ["HS256", "RS256"] {
            bad.push((
                "expired",
                maker.sign(alg, &claims(json!({"exp": now() as u64 - 60}))).await,
            ));
            bad.push((
                "another audience",
                maker.sign(alg, &claims(json!({"aud": "web"}))).await,
            ));
            bad.push((
                "not yet",
                maker.sign(alg, &claims(json!({"nbf": now() as u64 + 300}))).await,
            ));
        }
        for public in [pem("rsa.pub"), pem("rsa.pub").trim_end().to_owned()] {
            bad.push((
                "HMAC with the public key",
                maker.forge(&public, &claims(json!({}))).await,
            ));
        }
        bad.push((
            "another secret",
            maker.forge(&SECRET.replace('a', "b"), &claims(json!({}))).await,
        ));
        for (what, token) in bad {
            for (kind, client) in &mut clients {
                let mut options = ConnectOptions::to(&format!("http://{address}"));
                options.auth = Some(json!({ "token": token }));
                let refusal = client.connect(&options).await.expect_err(what);
                let seen = (refusal.message.as_str(), refusal.data);
                assert_eq!(
                    seen,
                    ("unauthorized", json!({"code": "unauthorized"})),
                    "{name}, {kind:?}: {what}"
                );
            }
        }
    }
    assert_eq!((access.metrics().accepted, access.metrics().refused), (0, 2 * 2 * 10));
}

#[tokio::test]
async fn an_expired_client_is_out_within_a_second_and_a_refreshed_one_stays() {
    let (io, access, address) = protected().await;
    let [(_, mut python), (_, mut jose)] = Maker::all();
    for kind in Kind::ALL {
        // Clients are started first, because that takes longer than the tokens are good.
        let (mut expiring, mut refreshing) = (RealClient::spawn(kind).await, RealClient::spawn(kind).await);
        let exp = now() as u64 + 4;
        let mut options = ConnectOptions::to(&format!("http://{address}"));
        for (maker, client) in [(&mut python, &mut expiring), (&mut jose, &mut refreshing)] {
            let token = maker.sign("RS256", &claims(json!({ "exp": exp }))).await;
            options.auth = Some(json!({ "token": token }));
            client
                .connect(&options)
                .await
                .unwrap_or_else(|refusal| panic!("{kind:?}: {refusal:?}"));
        }
        let other = jose.sign("RS256", &claims(json!({"sub": "grace"}))).await;
        let failed = json!([{"ok": false, "code": "unauthorized"}]);
        assert_eq!(ask(&mut refreshing, "refresh", json!([other])).await, failed);
        let new_exp = now() as u64 + 600;
        let new = python
            .sign("ES256", &claims(json!({"exp": new_exp, "rooms": "b"})))
            .await;
        let refreshed = json!([{"ok": true, "expires": new_exp}]);
        assert_eq!(
            ask(&mut refreshing, "refresh", json!([new])).await,
            refreshed,
            "{kind:?}"
        );

        assert_eq!(expiring.next_message(DEADLINE).await.name, "expired");
        expiring.disconnected(DEADLINE).await;
        let late = now() - exp as f64;
        assert!((0.0..1.0).contains(&late), "{kind:?}: out {late} s after the expiry");
        // It would have been closed with the other one.
        assert_eq!(
            ask(&mut refreshing, "join", json!(["b"])).await,
            json!(["ok"]),
            "{kind:?}"
        );
        assert_eq!(io.of("/").count_sockets().await.unwrap().found, 1);
        refreshing.disconnect().await;
        while io.metrics().num_clients > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!((access.metrics().expired, access.metrics().refreshed), (2, 2));
}

#[tokio::test]
async fn a_token_in_the_query_connects_a_client_that_sends_no_auth() {
    let (_io, _, address) = protected().await;
    let [_, (_, mut jose)] = Maker::all();
    let token = jose.sign("EdDSA", &claims(json!({"enter": "hall"}))).await;
    for kind in Kind::ALL {
        let options = ConnectOptions::to(&format!("http://{address}?token={token}"));
        let mut client = RealClient::connected(kind, &options).await;
        assert_eq!(
            ask(&mut client, "join", json!(["hall"])).await,
            json!(["ok"]),
            "{kind:?}"
        );
    }
}
