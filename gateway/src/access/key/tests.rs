//! Key files: what is taken, and what is refused with which remedy.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::access::tests::{SECRET, pem, seconds_from_now, signed, verify_with};
use crate::access::{AccessConfig, Algorithm, Key, KeyError, Keys, SigningKey};

fn good() -> Value {
    json!({"exp": seconds_from_now(60)})
}

/// Returns the public key of a PEM file as a JWK; what the file holds is at its end.
fn jwk(name: &str, more: &Value) -> Value {
    let text = pem(&format!("{name}.pub"));
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = |len: usize| {
        (
            encode(&der[der.len() - 2 * len..der.len() - len]),
            encode(&der[der.len() - len..]),
        )
    };
    let mut jwk = match name {
        "p256" => {
            let (x, y) = point(32);
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
        }
        "p384" => {
            let (x, y) = point(48);
            json!({"kty": "EC", "crv": "P-384", "x": x, "y": y})
        }
        "ed25519" => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&der[der.len() - 32..])}),
        // … a modulus of 256 bytes, then the exponent as a number of three bytes.
        _ => {
            json!({"kty": "RSA", "n": encode(&der[der.len() - 261..der.len() - 5]), "e": encode(&der[der.len() - 3..])})
        }
    };
    for (member, value) in more.as_object().unwrap() {
        jwk[member] = value.clone();
    }
    jwk
}

#[test]
fn the_keys_of_a_jwk_set_check_tokens_by_their_ids() {
    let names = ["rsa", "p256", "p384", "ed25519"];
    let entries: Vec<Value> = names
        .iter()
        .map(|name| jwk(name, &json!({"kid": name, "use": "sig"})))
        .collect();
    let text = json!({ "keys": entries }).to_string();
    let keys = Keys::new(Key::jwks(&text).unwrap()).unwrap();
    assert_eq!(keys.as_slice().len(), 4);
    for name in names {
        let signing = SigningKey::pem(&pem(name)).unwrap();
        for signing in [signing.clone().with_id(name), signing] {
            assert!(
                verify_with(&keys, AccessConfig::default(), &signed(&signing, good())).is_ok(),
                "{name}"
            );
        }
    }
    let single = jwk("p256", &json!({})).to_string();
    assert_eq!(Key::jwks(&single).unwrap()[0].algorithms(), [Algorithm::ES256]);
    let secret = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"}).to_string();
    let keys = Keys::new(Key::jwks(&secret).unwrap()).unwrap();
    assert_eq!(keys.as_slice()[0].algorithms(), [Algorithm::HS256]);
    let token = signed(&SigningKey::secret(SECRET).unwrap(), good());
    assert!(verify_with(&keys, AccessConfig::default(), &token).is_ok());
}

#[test]
fn keys_of_a_set_that_are_for_something_else_are_left_out_and_private_ones_refused() {
    let other = |more: Value| jwk("p256", &more);
    let set = json!({"keys": [
        other(json!({"use": "enc"})),
        other(json!({"key_ops": ["deriveKey"]})),
        other(json!({"alg": "RS256"})),
        other(json!({"alg": "ECDH-ES"})),
        other(json!({"crv": "P-521"})),
        other(json!({"crv": "secp256k1"})),
        {"kty": "unheard of"},
        {"kty": "oct", "k": "c2hvcnQ"},
        7,
        other(json!({"kid": "the one", "key_ops": ["verify"], "alg": "ES256"})),
    ]});
    let keys = Key::jwks(&set.to_string()).unwrap();
    assert_eq!((keys.len(), keys[0].id()), (1, Some("the one")));
    let none = json!({"keys": [{"kty": "unheard of"}]}).to_string();
    assert!(matches!(Key::jwks(&none), Err(KeyError::Count { count: 0, .. })));
    let private = json!({"keys": [other(json!({"d": "AAAA"}))]}).to_string();
    assert!(matches!(Key::jwks(&private), Err(KeyError::Private)));
    for bad in ["{}", "{", "[]", "{\"keys\":{}}"] {
        assert!(matches!(Key::jwks(bad), Err(KeyError::Jwks(_))), "{bad}");
    }
    let many: Vec<Value> = vec![jwk("p256", &json!({})); Keys::MAX + 1];
    assert!(matches!(
        Key::jwks(&json!({ "keys": many }).to_string()),
        Err(KeyError::Count { .. })
    ));
}

#[test]
fn a_key_file_of_another_kind_is_refused_with_a_remedy() {
    for (text, remedy) in [
        (pem("rsa"), "public"),
        (pem("p256"), "-pubout"),
        (pem("ed25519"), "private key"),
        (pem("weak.pub"), "2048"),
        (pem("p521.pub"), "P-384"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "x509 -pubkey",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_owned(),
            "not supported",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(), "private"),
        ("-----BEGIN".to_owned(), ""),
    ] {
        let said = match Key::pem(&text) {
            Err(error) => error.to_string(),
            Ok(keys) => Keys::new(keys).unwrap_err().to_string(),
        };
        assert!(said.contains(remedy), "{said}");
    }
    assert!(matches!(SigningKey::pem(&pem("rsa.pub")), Err(KeyError::Public)));
    assert!(matches!(
        SigningKey::pem("-----BEGIN EC PRIVATE KEY-----"),
        Err(KeyError::Label { .. })
    ));
    assert!(matches!(SigningKey::pem(""), Err(KeyError::Label { .. })));
    assert!(matches!(
        Key::secret("short"),
        Err(KeyError::ShortSecret { bytes: 5, .. })
    ));
    assert!(
        SigningKey::pem(&pem("p256"))
            .unwrap()
            .with_algorithm(Algorithm::ES384)
            .is_err()
    );
}

#[test]
fn the_kind_of_a_key_file_is_told_by_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("key");
        std::fs::write(&path, text).unwrap();
        path
    };
    let two = pem("rsa.pub") + &pem("ed25519.pub");
    assert_eq!(Key::read_file(&file(&two)).unwrap().len(), 2);
    assert_eq!(
        Key::read_file(&file(&jwk("p384", &json!({})).to_string()))
            .unwrap()
            .len(),
        1
    );
    // One line break at the end is the editor's.
    for ending in ["", "\n", "\r\n"] {
        let path = file(&format!("{SECRET}{ending}"));
        let keys = Keys::new(Key::read_file(&path).unwrap()).unwrap();
        let token = signed(&SigningKey::read_file(&path).unwrap(), good());
        assert!(verify_with(&keys, AccessConfig::default(), &token).is_ok());
        let token = signed(&SigningKey::secret(SECRET).unwrap(), good());
        assert!(
            verify_with(&keys, AccessConfig::default(), &token).is_ok(),
            "{ending:?}"
        );
    }
    assert!(SigningKey::read_file(&file(&pem("p384"))).is_ok());
    assert!(matches!(SigningKey::read_file(&file("{}")), Err(KeyError::Public)));
    let missing = folder.path().join("missing");
    assert!(matches!(Key::read_file(&missing), Err(KeyError::File(_))));
    let long = file(&"x".repeat((1 << 20) + 1));
    assert!(matches!(Key::read_file(&long), Err(KeyError::File(_))));
}
