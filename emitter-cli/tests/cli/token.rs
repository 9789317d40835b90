//! `sio token`: tokens made and checked on the command line.

#![allow(clippy::unwrap_used, reason = "in a test, what fails is to panic")]

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::serve::address;
use crate::support::{Broker, Client, Running, Sio, dead_url};

const SECRET: &str = "a secret of these tests, longer than 32 bytes";

/// A folder with a secret that only this user can read.
pub(crate) fn secret() -> (tempfile::TempDir, String) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).expect("it can be written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
    let path = path.to_str().expect("a path of text").to_owned();
    (folder, path)
}

async fn made(arguments: &[&str]) -> String {
    let done = Sio::new(&["token", "gen"]).args(arguments).run("").await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", done.stderr);
    assert_eq!(done.stdout.matches('\n').count(), 1, "{}", done.stdout);
    done.stdout
}

#[tokio::test]
async fn a_token_that_was_made_is_good_and_says_what_it_was_made_of() {
    let (_folder, key) = secret();
    let arguments = [
        "--key-file",
        &key,
        "--sub",
        "ada",
        "--rooms",
        "order:*",
        "--rooms",
        "news",
    ];
    let more = [
        "--join",
        "user:ada",
        "--publish",
        "order:7",
        "--kid",
        "k1",
        "--expires",
        "15m",
        "--claims",
        r#"{"name":"Ada"}"#,
    ];
    let token = made(&[&arguments[..], &more].concat()).await;
    let done = Sio::new(&["token", "check", "--json", "--key-file", &key])
        .run(&token)
        .await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "k1"});
    assert_eq!((&report["ok"], &report["header"]), (&json!(true), &header));
    let claims = &report["claims"];
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 900);
    for (name, value) in [
        ("sub", json!("ada")),
        ("name", json!("Ada")),
        ("rooms", json!(["order:*", "news"])),
        ("enter", json!(["user:ada"])),
        ("publish", json!(["order:7"])),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let done = Sio::new(&["token", "check", token.trim()])
        .env("SIO_TOKENS_KEY", SECRET)
        .run("")
        .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    for line in [
        "checked    good",
        "expires    in 1",
        "enters     [\"user:ada\"]",
        "may join   [\"order:*\",\"news\"]",
        "may emit   [\"order:7\"]",
        "namespaces all",
    ] {
        assert!(done.stdout.contains(line), "{}", done.stdout);
    }
}

#[tokio::test]
async fn the_check_shows_the_rights_of_the_claim_that_holds_them() {
    let claims = r#"{"rooms":["a"],"publish":"*","g":{"rooms":["b"],"enter":"e","namespaces":"/x"}}"#;
    let (_folder, key) = secret();
    let token = made(&["--key-file", &key, "--claims", claims]).await;
    let check = ["token", "check", "--grants-claim", "g", "-n", "/x", &token];
    let checked = Sio::new(&check).env("SIO_TOKENS_KEY", SECRET).run("").await;
    let lines = ["enters     [\"e\"]", "may join   [\"b\"]", "may emit   nothing"];
    for line in lines {
        assert!(checked.stdout.contains(line), "{}", checked.stdout);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_shown_with_the_reason() {
    let (_folder, key) = secret();
    let short = made(&[
        "--key-file",
        &key,
        "--expires",
        "1s",
        "--claims",
        r#"{"nbf":99999999999}"#,
    ])
    .await;
    let audience = made(&["--key-file", &key, "--aud", "web", "--namespaces", "/chat"]).await;
    let check = ["token", "check", "--key-file", &key];
    let other = ["token", "check"];
    for (arguments, token, reason) in [
        (&check[..], short.as_str(), "not valid yet"),
        (&check, &audience, "audience"),
        (&[&check[..], &["--aud", "web"]].concat(), &audience, "namespace"),
        (
            &[&check[..], &["--aud", "web", "--iss", "x", "-n", "/chat"]].concat(),
            &audience,
            "iss",
        ),
        (&check, "nonsense", "not a JWT"),
        (&other, &audience, "signature"),
    ] {
        let done = Sio::new(arguments)
            .env("SIO_TOKENS_KEY", "another secret of more than 32 bytes")
            .run(token)
            .await;
        assert_eq!(done.code, 1, "{arguments:?}: {}", done.stderr);
        // Only what is signed is the issuer's.
        let is_signed = !["not a JWT", "signature"].contains(&reason);
        assert_eq!(done.stdout.contains("anyone's"), !is_signed, "{}", done.stdout);
        assert!(done.stderr.contains(reason), "{reason}: {}", done.stderr);
        assert!(
            done.stdout.contains("checked    no") && !done.stderr.contains(SECRET),
            "{}",
            done.stdout
        );
    }
    let good = Sio::new(&check)
        .args(&["--aud", "web", "-n", "/chat"])
        .run(&audience)
        .await;
    assert_eq!(good.code, 0, "{}", good.stderr);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_without_a_word_of_it() {
    let (folder, key) = secret();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let short = file("short", "s3cret");
    let public = file(
        "public",
        "-----BEGIN PUBLIC KEY-----\ns3cret\n-----END PUBLIC KEY-----\n",
    );
    for (arguments, said) in [
        (&["gen", "--key-file", "/nonexistent"][..], "/nonexistent"),
        (&["gen", "--key-file", &short], "at least 32"),
        (&["gen", "--key-file", &public], "public key"),
        (&["check", "--key-file", &public], "not supported"),
        (&["gen"], "--key-file"),
        (&["check"], "SIO_TOKENS_KEY_FILE"),
        (&["gen", "--key-file", &key, "--alg", "RS256"], "algorithm"),
        (&["gen", "--key-file", &key, "--alg", "none"], "--alg"),
        (&["gen", "--key-file", &key, "--claims", "[1]"], "--claims"),
        (&["gen", "--key-file", &key, "--expires", "soon"], "--expires"),
    ] {
        let done = Sio::new(&["token"]).args(arguments).run("").await;
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        assert!(
            done.stderr.contains(said) && !done.stderr.contains("s3cret"),
            "{arguments:?}: {}",
            done.stderr
        );
        assert!(done.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_secret_that_other_users_can_read_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, key) = secret();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let done = Sio::new(&["token", "gen", "--key-file", &key]).run("").await;
    assert!(done.code == 0 && done.stderr.contains("chmod 600"), "{}", done.stderr);
}

const API_KEY: &str = "a-key-of-the-tests-with-32-bytes-and-more";
const UNAUTHORIZED: &str = r#"44{"message":"unauthorized","data":{"code":"unauthorized"}}"#;

/// A server with a file of settings.
pub(crate) async fn serving(broker: &Broker, folder: &std::path::Path, settings: &str) -> (Running, String) {
    let path = folder.join("sio.toml");
    std::fs::write(&path, settings).unwrap();
    let line = ["serve", "--listen", "127.0.0.1:0", "--config", path.to_str().unwrap()];
    // The tests may be run by a command that ignores SIGHUP.
    let sio = Sio::under(&["env", "--default-signal=HUP"], &line);
    let mut server = sio.env("SIO_API_KEYS", API_KEY).url(&broker.url).start();
    let addr = address(&mut server).await;
    (server, addr)
}

/// Returns the answer to a client with a token.
async fn connect(addr: &str, token: &str) -> (Client, String) {
    let mut client = Client::open(addr, "").await;
    client.send(&format!("40{}", json!({ "token": token.trim() }))).await;
    let answer = client.next().await;
    (client, answer)
}

/// Posts to the HTTP API, and returns the whole answer.
async fn post(addr: &str, path: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let len = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nAuthorization: Bearer {API_KEY}\r\n");
    let request = format!("{head}Content-Length: {len}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_server_with_keys_accepts_tokens_only_and_does_what_they_say() {
    let (folder, key) = secret();
    let broker = Broker::start().await;
    let settings = format!("namespaces = [\"/chat\"]\n[tokens]\nkey_files = [{key:?}]\naudiences = [\"chat\"]\n");
    let (mut server, addr) = serving(&broker, folder.path(), &settings).await;
    let mut printed = String::new();
    while !printed.contains("HTTP API") {
        printed.push_str(&server.line().await);
    }
    assert!(printed.contains("clients need a token"), "{printed}");

    let options = "--aud chat --sub ada --rooms order:* --enter hall --publish order:7";
    let arguments: Vec<&str> = ["--key-file", &key].into_iter().chain(options.split(' ')).collect();
    let token = made(&arguments).await;
    let (mut ada, answer) = connect(&addr, &token).await;
    assert!(answer.starts_with("40{"), "{answer}");
    let (mut other, _) = connect(&addr, &token).await;
    for (event, answer) in [
        (r#"["join","order:7"]"#, "ok"),
        (r#"["join","other"]"#, "not allowed"),
        (r#"["join",5]"#, "expected the name of a room"),
        (r#"["leave"]"#, "expected the name of a room"),
        (
            r#"["publish","order:7","expired"]"#,
            "the event expired is the server's own",
        ),
        (r#"["publish","order:8","moved"]"#, "not allowed"),
        (r#"["publish","order:7","moved",1]"#, "ok"),
    ] {
        for client in [&mut other, &mut ada] {
            client.send(&format!("421{event}")).await;
            let mut got = client.next().await;
            // The other one's event may come before the answer.
            if got.starts_with("42") {
                got = client.next().await;
            }
            assert_eq!(got, format!("431[\"{answer}\"]"), "{event}");
        }
    }
    ada.send(r#"422["rights"]"#).await;
    let rights = r#"{"join":["order:*","hall"],"namespaces":["/","/chat"],"publish":["order:7"]}"#;
    let mut got = ada.next().await;
    while !got.starts_with("432") {
        got = ada.next().await;
    }
    assert_eq!(got, format!("432[{rights}]"));
    for refused in ["", "nonsense", &made(&["--key-file", &key]).await] {
        assert_eq!(connect(&addr, refused).await.1, UNAUTHORIZED);
    }
}

#[tokio::test]
async fn workers_publish_by_http_and_a_key_is_exchanged_while_the_server_runs() {
    let (folder, key) = secret();
    let broker = Broker::start().await;
    let settings = format!("[tokens]\nkey_files = [{key:?}]\n");
    let (mut server, addr) = serving(&broker, folder.path(), &settings).await;
    let token = made(&["--key-file", &key, "--enter", "hall"]).await;
    let (mut ada, _) = connect(&addr, &token).await;
    let answer = post(&addr, "/api/emit", r#"{"event":"news","rooms":"hall","receipt":true}"#).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#""clients":1"#),
        "{answer}"
    );
    while ada.next().await != r#"42["news"]"# {}
    let answer = post(&addr, "/api/emit", r#"{"event":"connect"}"#).await;
    assert!(
        answer.contains("application/problem+json") && answer.contains("reserved_event"),
        "{answer}"
    );

    // A key is exchanged while the server runs.
    let new = "the secret of next month, longer than 32 bytes";
    std::fs::write(&key, new).unwrap();
    server.signal("HUP").await;
    assert!(server.error_line().await.contains("reloaded"));
    assert_eq!(connect(&addr, &token).await.1, UNAUTHORIZED);
    let token = made(&["--key-file", &key, "--sub", "ada"]).await;
    assert!(connect(&addr, &token).await.1.starts_with("40{"));
    ada.send(r#"423["leave","hall"]"#).await;
    ada.expect(r#"433["ok"]"#).await;
}

#[tokio::test]
async fn keys_that_cannot_be_used_or_contradict_other_settings_are_refused_with_their_place() {
    let (folder, key) = secret();
    let public = folder.path().join("private.pem");
    std::fs::write(
        &public,
        "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let public = public.to_str().unwrap();
    for (arguments, variables, said) in [
        (
            &["--open", "--token-key-file", &key][..],
            &[][..],
            &["--open", "leave out either"][..],
        ),
        (
            &["--listen", "0.0.0.0:0"],
            &[],
            &["--listen", "--token-key-file", "--open"],
        ),
        (&["--token-key-file", public], &[], &["--token-key-file", "public one"]),
        (&["--token-key-file", "/nonexistent"], &[], &["/nonexistent"]),
        (&[], &[("SIO_TOKENS_KEY", "s3cret")], &["SIO_TOKENS_KEY", "at least 32"]),
        (&[], &[("SIO_API_KEYS", "s3cret")], &["SIO_API_KEYS", "at least 32"]),
        (
            &["--token-leeway", "11m", "--token-key-file", &key],
            &[],
            &["10 minutes"],
        ),
    ] {
        let sio = Sio::new(&["serve"]).args(arguments).url(&dead_url());
        let sio = variables.iter().fold(sio, |sio, (name, value)| sio.env(name, value));
        let done = sio.run("").await;
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
        for said in said {
            assert!(done.stderr.contains(said), "{arguments:?}: {}", done.stderr);
        }
        assert!(!done.stderr.contains("s3cret"), "{}", done.stderr);
    }
}

#[tokio::test]
async fn keys_of_several_lines_stand_in_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pem = |name: &str| {
        let path = format!("{}/../gateway/testdata/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap()
    };
    let public = file("public.pem", &(pem("rsa.pub") + &pem("ed25519.pub")));
    let private = file("private.pem", &pem("ed25519"));
    let keys = file(
        "keys",
        &format!("# two keys\n{API_KEY} only=emit\n{API_KEY}-2 name=b rate=5\n"),
    );
    let broker = Broker::start().await;
    let sio = Sio::new(&["serve", "--listen", "127.0.0.1:0"]).url(&broker.url);
    let mut server = sio
        .env("SIO_TOKENS_KEY_FILE", &public)
        .env("SIO_API_KEYS_FILE", &keys)
        .start();
    let addr = address(&mut server).await;
    let token = Sio::new(&["token", "gen"])
        .env("SIO_SIGNING_KEY_FILE", &private)
        .run("")
        .await;
    assert!(
        connect(&addr, &token.stdout).await.1.starts_with("40{"),
        "{}",
        token.stderr
    );
    let answer = post(&addr, "/api/emit", r#"{"event":"news"}"#).await;
    assert!(answer.contains(r#"{"accepted":1}"#), "{answer}");
    let answer = post(&addr, "/api/disconnect", r#"{"all":true}"#).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
