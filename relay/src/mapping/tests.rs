use bytes::Bytes;
use manager_api::source::{Place, Position};

use super::*;

fn record(body: &str) -> Record {
    let place = Place::Entry { time: 5, number: 1 };
    let name = "orders".into();
    let mut record = Record::new(Position { name, place }, body.to_owned());
    record.headers = vec![("tenant".into(), Bytes::from("t1"))];
    record
}

fn config() -> MapConfig {
    MapConfig::event("order")
}

fn map(config: &MapConfig, body: &str) -> Result<Mapped, String> {
    let mapping = Mapping::new(config).unwrap();
    mapping.map(&record(body)).map_err(|why| why.to_string())
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn without_more_than_an_event_the_body_is_the_argument_and_all_clients_get_it() {
    let mapped = map(&config(), " {\"a\": 1.0} ").unwrap();
    assert_eq!(mapped.payload.json(), "[{\"a\": 1.0}]");
    assert_eq!((mapped.event.as_str(), mapped.namespace.as_str()), ("order", "/"));
    assert!(mapped.rooms.is_empty() && mapped.key.is_none());
}

#[test]
fn every_part_comes_from_constants_headers_and_pointers() {
    let config = MapConfig {
        namespace: "/{header:tenant}".to_owned(),
        rooms: texts(&["user:{/user}", "{/rooms}", "fixed"]),
        except: texts(&["{/not}"]),
        event: "order {/state}".to_owned(),
        args: texts(&["{/lines}", "{header:tenant}", "n{/user}", "{body}"]),
        body: BodyKind::Text,
        key: Some("o-{/user}-{id}".to_owned()),
    };
    let body = r#"{"user":7,"rooms":["a",8],"not":"b","state":"paid","lines":[1, 2]}"#;
    let mapped = map(&config, body).unwrap();
    assert_eq!(mapped.namespace.as_str(), "/t1");
    assert_eq!(mapped.rooms, ["user:7", "a", "8", "fixed"].map(Room::from));
    assert_eq!(mapped.except, [Room::from("b")]);
    assert_eq!(mapped.event.as_str(), "order paid");
    assert_eq!(mapped.key.as_deref(), Some("o-7-orders/5-1"));
    let arguments: serde_json::Value = serde_json::from_str(mapped.payload.json()).unwrap();
    assert_eq!(arguments, serde_json::json!([[1, 2], "t1", "n7", body]));
}

#[test]
fn the_default_key_is_the_place_however_long_its_name_is() {
    let mapped = map(&config(), "1").unwrap();
    let mut record = record("1");
    assert_eq!(mapped.key_for(&record).as_deref(), Some("orders/5-1"));
    record.position.name = "o".repeat(200).into();
    let long = mapped.key_for(&record).unwrap();
    assert_eq!(long.len(), 64);
    record.position.place = Place::Entry { time: 5, number: 2 };
    assert_ne!(mapped.key_for(&record).unwrap(), long);
    record.position.place = Place::Line(7);
    assert_eq!(mapped.key_for(&record), None);
}

#[test]
fn a_body_that_is_binary_is_an_attachment() {
    let mut config = config();
    config.body = BodyKind::Binary;
    let mapped = map(&config, "not json").unwrap();
    assert_eq!(mapped.payload.attachments(), [Bytes::from("not json")]);
}

#[test]
fn a_record_without_rooms_never_becomes_an_event_for_all_clients() {
    let mut config = config();
    config.rooms = texts(&["{/rooms}"]);
    for body in [
        "{}",
        r#"{"rooms":[]}"#,
        r#"{"rooms":""}"#,
        r#"{"rooms":[""]}"#,
        r#"{"rooms":null}"#,
        r#"{"rooms":[null]}"#,
        r#"{"rooms":{}}"#,
    ] {
        let said = map(&config, body).unwrap_err();
        assert!(said.starts_with("the rooms: "), "{body}: {said}");
    }
}

#[test]
fn what_cannot_be_mapped_says_why_and_nothing_of_the_body() {
    let mut named = config();
    named.event = "{/event}".to_owned();
    let mut keyed = config();
    keyed.key = Some("{/key}".to_owned());
    for (config, body, reason) in [
        (&config(), "secret", "not JSON"),
        (&named, r#"{"event":"disconnect"}"#, "reserved"),
        (&named, r#"{"event":"","s":"secret"}"#, "empty"),
        (&named, r#"{"event":["secret"]}"#, "at /event of the body is not a text"),
        (
            &keyed,
            &format!(r#"{{"key":"{}"}}"#, "secret".repeat(30)),
            "180 bytes, over the limit of 128",
        ),
        (
            &keyed,
            &format!(r#"{{"key":"{}"}}"#, "secret".repeat(300)),
            "longer than 1024 bytes",
        ),
        (&keyed, r#"{"key":""}"#, "the key: it is empty"),
        (&keyed, r#"{"key":"secret\n"}"#, "control characters"),
        (&keyed, r#"{"secret":1}"#, "nothing at /key"),
    ] {
        let said = map(config, body).unwrap_err();
        assert!(said.contains(reason) && !said.contains("secret"), "{body}: {said}");
    }
}

#[test]
fn a_record_that_was_not_read_as_a_whole_is_not_mapped() {
    let mut record = record("");
    record.fault = Some(Fault::TooLarge(99));
    let said = Mapping::new(&config()).unwrap().map(&record).unwrap_err();
    assert!(said.to_string().contains("99 bytes"), "{said}");
}

#[test]
fn templates_are_checked_before_anything_is_read() {
    let with = |change: fn(&mut MapConfig)| {
        let mut config = config();
        change(&mut config);
        Mapping::new(&config).unwrap_err().to_string()
    };
    for (said, expected) in [
        (with(|c| c.namespace = "chat".to_owned()), "the namespace"),
        (with(|c| c.event = "connect".to_owned()), "the event"),
        (with(|c| c.event = String::new()), "the event"),
        (with(|c| c.rooms = vec![String::new()]), "a room"),
        (with(|c| c.rooms = vec!["{id".to_owned()]), "at 1"),
        (with(|c| c.except = vec!["{x}".to_owned()]), "an excluded room"),
        (with(|c| c.args = vec![String::new(); 65]), "an argument"),
        (with(|c| c.key = Some(String::new())), "the key"),
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_reason_does_not_repeat_a_name_that_cannot_be_used() {
    let config = MapConfig {
        namespace: "{/n}".to_owned(),
        event: "{/e}".to_owned(),
        ..config()
    };
    for (body, part) in [
        (r#"{"n":"ann@example.com","e":"e"}"#, "namespace"),
        (r#"{"n":"/ann@example.com,","e":"e"}"#, "namespace"),
        (r#"{"n":"/","e":"disconnecting"}"#, "event"),
        (r#"{"n":"/","e":""}"#, "event"),
    ] {
        let said = map(&config, body).unwrap_err();
        assert!(said.starts_with(&format!("the {part}: ")), "{said}");
        assert!(!said.contains("ann@") && !said.contains("disconnecting"), "{said}");
    }
}
