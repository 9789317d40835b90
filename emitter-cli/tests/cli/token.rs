//! `sio token`: tokens made and checked on the command line.

use serde_json::{Value, json};

use crate::support::Sio;

const SECRET: &str = "a secret of these tests, longer than 32 bytes";

/// A folder with a secret that only this user can read.
fn secret() -> (tempfile::TempDir, String) {
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
        "may join   [\"order:*\",\"news\"]",
        "namespaces all",
    ] {
        assert!(done.stdout.contains(line), "{}", done.stdout);
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
