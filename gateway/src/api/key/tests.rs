//! Tests of keys.

use std::time::Duration;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_key_is_found_among_others_and_never_shown() {
    let other = KEY.replace('0', "x");
    let keys = KeyRing::new([
        ApiKey::new(&other).unwrap(),
        ApiKey::new(KEY).unwrap().with_name("worker"),
    ]);
    assert_eq!(keys.find(KEY).unwrap().name(), Some("worker"));
    assert_eq!(keys.find(&other).unwrap().name(), None);
    for wrong in ["", "0", &KEY[1..], &format!("{KEY} "), &KEY.to_uppercase()] {
        assert!(keys.find(wrong).is_none(), "{wrong}");
    }
    assert!(KeyRing::new([]).find(KEY).is_none());
    assert!(!format!("{keys:?}").contains(KEY));
}

#[test]
fn a_line_says_what_its_key_may_do() {
    let text = format!("# workers\n\n{KEY} name=w only=emit,who namespace=/chat namespace=/game-* rate=5\r\n{KEY}x\n");
    let keys = ApiKey::parse_lines(&text).unwrap();
    let ring = KeyRing::new(keys);
    let worker = ring.find(KEY).unwrap();
    assert!(worker.may(Operation::Emit) && worker.may(Operation::Who) && !worker.may(Operation::Disconnect));
    let namespace = |name: &str| NamespaceName::new(name).unwrap();
    assert!(worker.may_use(&namespace("/game-7")) && !worker.may_use(&namespace("/")));
    let all = ring.find(&format!("{KEY}x")).unwrap();
    assert!(all.may(Operation::Rooms) && all.may_use(&namespace("/")) && all.take(1_000_000).is_ok());
}

#[test]
fn a_line_that_cannot_be_used_is_named_without_its_key() {
    for (line, said) in [
        ("secret-but-short".to_owned(), "at least 32"),
        (format!("{KEY}é"), "ASCII"),
        (format!("{KEY} only=all"), "`only`"),
        (format!("{KEY} rate=0"), "`rate`"),
        (format!("{KEY} {KEY}"), "`…`"),
        (format!("{KEY} nmae=x"), "`nmae`"),
    ] {
        let error = ApiKey::parse_lines(&format!("\n{line}")).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(said), "{error}");
        assert!(!error.contains(KEY) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_key_that_stands_there_twice_is_refused_because_one_line_would_be_for_nothing() {
    let error = ApiKey::parse_lines(&format!("\u{feff}{KEY} only=rooms\n{KEY}\n")).unwrap_err();
    assert!(
        error.to_string().contains("line 2: the key stands there twice"),
        "{error}"
    );
}

#[test]
fn a_rate_is_kept_and_a_large_list_is_followed_by_a_pause() {
    let ring = KeyRing::new([ApiKey::parse(&format!("{KEY} rate=10")).unwrap()]);
    let (key, start) = (ring.find(KEY).unwrap(), Instant::now());
    assert_eq!((0..20).filter(|_| key.take_at(1, start).is_ok()).count(), 10);
    let later = start + Duration::from_secs(60);
    assert_eq!(key.take_at(25, later), Ok(()));
    assert_eq!(key.take_at(1, later), Err(2));
    assert_eq!(key.take_at(1, later + Duration::from_secs(1)), Err(1));
    assert_eq!(key.take_at(1, later + Duration::from_secs(2)), Ok(()));
}
