use clap::Parser;
use manager_api::source::{Place, Position};
use relay::Map;

use super::super::Plan;
use super::*;
use crate::args::Args;

fn plan(line: &[&str]) -> Result<RelayPlan, Failure> {
    let args = Args::try_parse_from([&["sio", "relay"], line].concat()).unwrap();
    match Plan::new(args)? {
        Plan::Relay(plan) => Ok(*plan),
        other => panic!("{other:?}"),
    }
}

fn refused(line: &[&str]) -> String {
    let failure = plan(line).unwrap_err();
    assert_eq!(failure.code(), 2, "{line:?}");
    failure.to_string()
}

/// A file of settings in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sio.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn record(body: &'static str) -> Record {
    let name = "s".into();
    let place = Place::Line(1);
    Record::new(Position { name, place }, body)
}

#[test]
fn the_file_says_what_flags_do_not() {
    let text = "url = \"redis://broker:1\"\nchannel = \"c\"\n[limits]\nrooms = 3\n[relay]\nstrict = true\nin_flight = 7\ndrain = \"3s\"\n\
        [relay.source]\nkind = \"redis-stream\"\nurl_file = \"url\"\nfrom = \"orders\"\n\
        [relay.map]\nevent = \"order\"\nrooms = [\"user:{/user}\"]\n";
    let (folder, path) = file(text);
    std::fs::write(folder.path().join("url"), "redis://:hunter2@records:2\n").unwrap();
    let made = plan(&["--config", &path, "--event", "other", "--channel", "d"]).unwrap();
    assert_eq!(made.broker.url.to_string(), "redis://broker:1");
    assert_eq!(made.broker.options.channel, "d");
    let (options, source) = (&made.options, format!("{:?}", made.source));
    assert_eq!(
        (options.strict, options.max_in_flight, options.drain.as_secs()),
        (true, 7, 3)
    );
    assert_eq!(source, "stream \"orders\", group \"sio\" at redis://records:2");
    let mapped = made.map.map(&record("{\"user\":5}")).unwrap();
    assert_eq!((mapped.event.as_str(), mapped.rooms.len()), ("other", 1));
    assert!(!format!("{made:?}").contains("hunter2"));
}

#[test]
fn a_table_is_named_in_the_file_with_how_it_is_read() {
    let text = "[relay.source]\nkind = \"postgres\"\nurl = \"postgres://me:hunter2@h/shop\"\nfrom = \"shop.outbox\"\nid_column = \"n\"\n\
        field = \"body\"\npoll = \"50ms\"\nhold = \"5s\"\nordered = true\n[relay.map]\nevent = \"e\"\n";
    let (_folder, path) = file(text);
    let made = plan(&["--config", &path, "--check"]).unwrap();
    let sample = made.check.unwrap();
    assert_eq!(sample.lasting_id().as_deref(), Some("shop.outbox/1"));
    let source = format!("{:?}", made.source);
    assert_eq!(source, "table \"shop.outbox\" at postgres://h/shop");
    let (_folder, path) = file(&text.replace("ordered = true", "ordered = \"perhaps\""));
    let said = refused(&["--config", &path]);
    assert!(said.contains("sio.toml:9: expected true or false"), "{said}");
}

#[test]
fn without_an_event_records_are_objects_as_in_lines() {
    let made = plan(&["stdin", "-r", "lobby"]).unwrap();
    let mapped = made.map.map(&record("{\"event\":\"e\",\"data\":1}")).unwrap();
    assert_eq!((mapped.event.as_str(), mapped.payload.json()), ("e", "[1]"));
    assert_eq!((mapped.rooms, mapped.key), (vec!["lobby".into()], None));
    let mapped = made.map.map(&record("{\"event\":\"e\",\"key\":\"k\"}")).unwrap();
    assert_eq!(mapped.key.as_deref(), Some("k"));
    let said = made.map.map(&record("{\"data\":1}")).unwrap_err().to_string();
    assert!(said.contains("missing field `event`"), "{said}");
    for more in [["--arg", "{/a}"], ["--key", "k"], ["--body", "text"], ["-r", "{/a}"]] {
        let said = refused(&[&["stdin"], &more[..]].concat());
        assert!(said.contains("--event"), "{said}");
    }
}

/// Command lines that cannot be used, and what is said of them.
const REFUSED: &[(&[&str], &str)] = &[
    (&[], "name a source"),
    (&["redis-stream", "--event", "e"], "SIO_RELAY_SOURCE_URL"),
    (&["redis-stream", "redis://h", "--event", "e"], "--stream"),
    (
        &[
            "redis-stream",
            "redis://h",
            "--stream",
            "a",
            "--stream",
            "b",
            "--event",
            "e",
        ],
        "one stream",
    ),
    (
        &["redis-stream", "mqtt://h", "--stream", "a", "--event", "e"],
        "unknown scheme",
    ),
    (
        &[
            "redis-stream",
            "redis://h",
            "--stream",
            "a",
            "--dead-letter",
            "a",
            "--event",
            "e",
        ],
        "dead letters",
    ),
    (&["postgres", "postgres://h/d", "--event", "e"], "--table"),
    (
        &["postgres", "postgres://h/d", "--table", "a.", "--event", "e"],
        "1 to 63 bytes",
    ),
    (&["stdin", "--event", "{a"], "at 1"),
    (&["stdin", "--event", "connect"], "reserved"),
    (&["stdin", "--stream", "s", "--event", "e"], "standard input has no URL"),
    (&["stdin", "--event", "e", "--in-flight", "0"], "--in-flight"),
    (
        &["stdin", "--event", "e", "--admin-listen", "unix:/x"],
        "--admin-listen",
    ),
    (
        &["stdin", "--event", "e", "--check", "--check-header", "x"],
        "NAME=VALUE",
    ),
];

#[test]
fn what_cannot_be_relayed_is_refused_before_anything_is_read() {
    let (_folder, unknown) = file("[relay]\n[relay.map]\nevents = \"e\"\n");
    let (_other, kind) = file("[relay.source]\nkind = \"kinesis\"\n");
    for (line, reason) in REFUSED.iter().copied().chain([
        (
            &["--config", &*unknown][..],
            "sio.toml:3: unknown key \"relay.map.events\"",
        ),
        (&["--config", &*kind], "expected one of stdin"),
    ]) {
        let said = refused(line);
        assert!(said.contains(reason), "{line:?}: {said}");
    }
    let said = refused(&[
        "redis-stream",
        "redis://:hunter2@h:port",
        "--stream",
        "a",
        "--event",
        "e",
    ]);
    assert!(!said.contains("hunter2"), "{said}");
}
