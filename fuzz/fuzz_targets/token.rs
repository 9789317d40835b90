//! Tokens that no key has signed, signed ones with any claims, and patterns of rooms.
#![no_main]

use std::sync::LazyLock;

use gateway::access::{AccessConfig, Key, Pattern, SigningKey, Verifier};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const SECRET: &str = "a secret of at least 32 bytes, for fuzzing";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = Key::secret(SECRET).expect("it is long enough").into();
    let mut config = AccessConfig::default();
    config.requires_expiry = false;
    Verifier::new(&keys, config).expect("the default can be used")
});
static SIGNING: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::secret(SECRET).expect("it is long enough"));

fuzz_target!(|input: (&str, &str, &str)| {
    let (token, pattern, name) = input;
    assert!(VERIFIER.verify(token).is_err(), "nothing that was not signed is accepted");
    // The same text as claims, in a token that is signed.
    if let Ok(claims) = serde_json::from_str::<Map<String, Value>>(token) {
        let signed = SIGNING.sign(&claims).expect("it has claims");
        if let Ok(verified) = VERIFIER.verify(&signed) {
            let grants = verified.grants;
            assert!(grants.enter().iter().all(|room| grants.may_join(room.as_str())));
            let _ = (grants.may_join(name), grants.may_publish(name), grants.expires());
        }
    }
    if pattern.len() * name.len() < 100_000 {
        assert_eq!(Pattern::new(pattern).matches(name), fits(pattern.as_bytes(), name.as_bytes()));
    }
});

/// What a pattern means, by a table of all prefixes.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut fitting = vec![false; name.len() + 1];
    fitting[0] = true;
    for letter in pattern {
        let before = fitting.clone();
        for end in 0..=name.len() {
            fitting[end] = match letter {
                b'*' => before[end] || end > 0 && fitting[end - 1],
                letter => end > 0 && before[end - 1] && name[end - 1] == *letter,
            };
        }
    }
    fitting[name.len()]
}
