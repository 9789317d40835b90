//! Tokens that are good, and tokens that are not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::access::tests::{SECRET, claims, pem, seconds_from_now, secret_keys, signed, verify_with};
use crate::access::{AccessConfig, AccessLimits, Key, KeyError, Keys, SigningKey, TokenFault};

const PAIRS: [(&str, &[Algorithm]); 4] = [
    (
        "rsa",
        &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
    ),
    ("p256", &[Algorithm::ES256]),
    ("p384", &[Algorithm::ES384]),
    ("ed25519", &[Algorithm::EdDSA]),
];

fn good() -> Value {
    json!({"sub": "ada", "exp": seconds_from_now(60), "rooms": ["lobby"]})
}

fn public(name: &str) -> Vec<Key> {
    Key::pem(&pem(&format!("{name}.pub"))).unwrap()
}

fn fault(keys: &Keys, token: &str) -> TokenFault {
    verify_with(keys, AccessConfig::default(), token).unwrap_err()
}

/// Makes a token of any header, signed by HMAC with any bytes.
fn forged(header: &Value, payload: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(payload));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn tokens_of_every_algorithm_are_accepted_by_the_key_of_their_kind_only() {
    let keys_of_all = Keys::new(PAIRS.iter().flat_map(|(name, _)| public(name))).unwrap();
    for (name, algorithms) in PAIRS {
        let signing = SigningKey::pem(&pem(name)).unwrap();
        let keys = Keys::new(public(name)).unwrap();
        for algorithm in algorithms {
            let token = signed(&signing.clone().with_algorithm(*algorithm).unwrap(), good());
            for keys in [&keys, &keys_of_all] {
                let verified = verify_with(keys, AccessConfig::default(), &token).unwrap();
                assert_eq!(verified.grants.subject(), Some("ada"), "{algorithm:?}");
            }
            let others = PAIRS.iter().filter(|(other, _)| *other != name);
            let others = Keys::new(others.flat_map(|(name, _)| public(name))).unwrap();
            assert_eq!(fault(&others, &token), TokenFault::NoKey, "{algorithm:?}");
        }
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let signing = SigningKey::secret(SECRET).unwrap().with_algorithm(algorithm).unwrap();
        let token = signed(&signing, good());
        assert!(verify_with(&secret_keys(), AccessConfig::default(), &token).is_ok());
        assert_eq!(fault(&keys_of_all, &token), TokenFault::NoKey, "{algorithm:?}");
    }
}

#[test]
fn a_token_signed_by_hmac_with_the_public_key_of_rsa_is_refused() {
    let keys = Keys::new(public("rsa")).unwrap();
    let public = pem("rsa.pub");
    for secret in [public.as_bytes(), public.trim_end().as_bytes()] {
        let token = forged(&json!({"alg": "HS256", "typ": "JWT"}), &good(), secret);
        assert_eq!(fault(&keys, &token), TokenFault::NoKey);
        // Beside a secret, too.
        let both = Keys::new(keys.as_slice().iter().cloned().chain([Key::secret(SECRET).unwrap()])).unwrap();
        assert_eq!(fault(&both, &token), TokenFault::Signature);
    }
    assert!(matches!(Key::secret(&public), Err(KeyError::NotASecret)));
}

#[test]
fn an_algorithm_that_is_not_accepted_is_refused_with_any_signature() {
    for alg in ["none", "None", "NONE", "HS1", "ES512", ""] {
        for signature in ["", "AAAA"] {
            let token = forged(&json!({ "alg": alg }), &good(), SECRET.as_bytes());
            let (message, _) = token.rsplit_once('.').unwrap();
            let token = format!("{message}.{signature}");
            assert_eq!(fault(&secret_keys(), &token), TokenFault::Algorithm, "{alg}");
        }
    }
    let restricted: Keys = Key::secret(SECRET).unwrap().only(Algorithm::HS512).unwrap().into();
    let token = forged(&json!({"alg": "HS256"}), &good(), SECRET.as_bytes());
    assert_eq!(fault(&restricted, &token), TokenFault::NoKey);
    assert!(Key::secret(SECRET).unwrap().only(Algorithm::RS256).is_err());
}

#[test]
fn what_is_not_a_token_is_refused_and_nothing_panics() {
    let good = forged(&json!({"alg": "HS256"}), &good(), SECRET.as_bytes());
    let (head, rest) = good.split_once('.').unwrap();
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "\u{0}.\u{0}.\u{0}",
        &format!("{head}."),
        &format!("{head}..x"),
        &format!("{head}.{rest}.{rest}"),
        &format!("{head}={}", &good[head.len()..]),
        &format!("{good}="),
        &format!("{}.{rest}", URL_SAFE_NO_PAD.encode("[]")),
        &format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":7}"#)),
    ] {
        let fault = fault(&secret_keys(), bad);
        assert!(
            matches!(fault, TokenFault::Malformed | TokenFault::Signature),
            "{bad:?}: {fault:?}"
        );
    }
    let not_claims = forged(&json!({"alg": "HS256"}), &json!([1]), SECRET.as_bytes());
    assert_eq!(fault(&secret_keys(), &not_claims), TokenFault::Malformed);
    let critical = forged(
        &json!({"alg": "HS256", "crit": ["exp2"]}),
        &json!({}),
        SECRET.as_bytes(),
    );
    assert_eq!(fault(&secret_keys(), &critical), TokenFault::Malformed);
    let long = "x".repeat(9000);
    assert!(matches!(
        fault(&secret_keys(), &long),
        TokenFault::TooLong { bytes: 9000, .. }
    ));
}

#[test]
fn times_are_checked_with_a_leeway() {
    let signing = SigningKey::secret(SECRET).unwrap();
    let outcome = |json: Value, leeway: u64| {
        let config = AccessConfig {
            leeway: std::time::Duration::from_secs(leeway),
            ..AccessConfig::default()
        };
        verify_with(&secret_keys(), config, &signed(&signing, json)).map(drop)
    };
    let at = seconds_from_now;
    assert_eq!(outcome(json!({"exp": at(-10)}), 0), Err(TokenFault::Expired));
    assert_eq!(outcome(json!({"exp": at(-10)}), 60), Ok(()));
    assert_eq!(
        outcome(json!({"exp": at(60), "nbf": at(30)}), 0),
        Err(TokenFault::NotYetValid)
    );
    assert_eq!(outcome(json!({"exp": at(60), "nbf": at(30)}), 60), Ok(()));
    assert_eq!(outcome(json!({"exp": at(60), "nbf": at(-1)}), 0), Ok(()));
    assert_eq!(outcome(json!({"sub": "ada"}), 0), Err(TokenFault::NoClaim("exp")));
    assert!(outcome(json!({"exp": at(60), "nbf": "now"}), 0).is_err());
    assert!(outcome(json!({"exp": "never"}), 0).is_err());
    assert!(outcome(json!({"exp": null}), 0).is_err());
    let config = AccessConfig {
        requires_expiry: false,
        ..AccessConfig::default()
    };
    let verified = verify_with(&secret_keys(), config, &signed(&signing, json!({}))).unwrap();
    assert_eq!(verified.grants.expires(), None);
    let config = AccessConfig {
        leeway: std::time::Duration::from_secs(601),
        ..AccessConfig::default()
    };
    assert!(crate::access::Verifier::new(&secret_keys(), config).is_err());
}

#[test]
fn issuer_and_audience_must_be_expected_ones() {
    let signing = SigningKey::secret(SECRET).unwrap();
    let config = AccessConfig {
        issuers: vec!["https://id.example".to_owned(), "other".to_owned()],
        audiences: vec!["sio".to_owned()],
        ..AccessConfig::default()
    };
    let outcome = |more: Value| {
        let mut all = claims(json!({"exp": seconds_from_now(60)}));
        all.extend(claims(more));
        verify_with(&secret_keys(), config.clone(), &signing.sign(&all).unwrap()).map(drop)
    };
    for audience in [json!("sio"), json!(["web", "sio"])] {
        assert_eq!(outcome(json!({"iss": "other", "aud": audience})), Ok(()));
    }
    assert_eq!(outcome(json!({"iss": "evil", "aud": "sio"})), Err(TokenFault::Issuer));
    assert_eq!(outcome(json!({"aud": "sio"})), Err(TokenFault::NoClaim("iss")));
    assert_eq!(
        outcome(json!({"iss": "other", "aud": "web"})),
        Err(TokenFault::Audience)
    );
    assert_eq!(outcome(json!({"iss": "other"})), Err(TokenFault::NoClaim("aud")));
    assert!(outcome(json!({"iss": 7, "aud": "sio"})).is_err());
    assert!(outcome(json!({"iss": "other", "aud": {"sio": 1}})).is_err());
    // None is expected: a token that names one is for another server.
    let named = signed(&signing, json!({"exp": seconds_from_now(60), "aud": "web"}));
    assert_eq!(fault(&secret_keys(), &named), TokenFault::Audience);
}

#[test]
fn a_key_that_is_replaced_is_good_for_as_long_as_it_is_listed() {
    let (old, new) = (
        "the old secret, longer than 32 bytes",
        "the new secret, longer than 32 bytes",
    );
    let key = |secret: &str, id: &str| Key::secret(secret).unwrap().with_id(id);
    let signing = |secret: &str| SigningKey::secret(secret).unwrap();
    let both = Keys::new([key(new, "2"), key(old, "1")]).unwrap();
    for token in [
        signed(&signing(old), good()),
        signed(&signing(old).with_id("1"), good()),
        signed(&signing(new).with_id("2"), good()),
        // An id that no key has says nothing.
        signed(&signing(new).with_id("3"), good()),
    ] {
        assert!(verify_with(&both, AccessConfig::default(), &token).is_ok());
    }
    // The id of another key does.
    assert_eq!(
        fault(&both, &signed(&signing(new).with_id("1"), good())),
        TokenFault::Signature
    );
    let new_only = Keys::new([key(new, "2")]).unwrap();
    assert_eq!(fault(&new_only, &signed(&signing(old), good())), TokenFault::Signature);
}

#[test]
fn a_fault_quotes_nothing_of_the_token() {
    let secretive = "s3cr3t";
    let signing = SigningKey::secret(SECRET).unwrap();
    for claims in [
        json!({"exp": secretive}),
        json!({"exp": 99_999_999_999_u64, "rooms": {secretive: 1}, "sub": [secretive]}),
    ] {
        let fault = fault(&secret_keys(), &signed(&signing, claims));
        assert!(!format!("{fault} {fault:?} {}", fault.code()).contains(secretive));
    }
    let key = Key::secret(SECRET).unwrap();
    assert!(!format!("{key:?} {:?} {signing:?}", Keys::from(key.clone())).contains("secret of the tests"));
}

#[test]
fn the_length_of_a_token_is_limited() {
    let config = AccessConfig {
        limits: AccessLimits {
            max_token_bytes: 20,
            ..AccessLimits::default()
        },
        ..AccessConfig::default()
    };
    let token = signed(&SigningKey::secret(SECRET).unwrap(), good());
    let outcome = verify_with(&secret_keys(), config, &token);
    assert!(matches!(outcome, Err(TokenFault::TooLong { max: 20, .. })));
}
