//! Settings of a bridge: what they mean, and what is refused.

use clap::Parser;

use super::*;
use crate::args::{Args, Command};

const FILE: &str = r#"
name = "python-node"
admin_listen = 9101

[times]
publish = "1s"
takeover = "3s"

[limits]
waiting = "1MiB"

[[side]]
name = "python"
url = "redis://:hunter2@one"
channel = "chat"

[[side]]
name = "node"
url = "redis://two"
wire = "node-streams"
wire_stream_count = 2
namespaces = ["/", "/chat"]
"#;

fn plan(line: &[&str]) -> Result<BridgePlan, String> {
    let args = Args::try_parse_from([&["sio", "bridge"], line].concat()).map_err(|error| error.to_string())?;
    let Command::Bridge(args) = args.command else {
        panic!("{args:?}")
    };
    BridgePlan::new(args, false).map_err(|failure| {
        assert_eq!(failure.code(), 2);
        failure.to_string()
    })
}

fn of_file(text: &str) -> Result<BridgePlan, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.toml");
    std::fs::write(&path, text).unwrap();
    plan(&["--config", path.to_str().unwrap()])
}

#[test]
fn a_file_describes_sides_times_and_limits() {
    let plan = of_file(FILE).unwrap();
    assert_eq!((&*plan.name, plan.sides.len()), ("python-node", 2));
    assert_eq!(plan.admin_listen, Some(Address::local(9101)));
    assert_eq!(plan.options.max_waiting_bytes, 1 << 20);
    let [python, node] = &plan.sides[..] else {
        panic!("{:?}", plan.sides)
    };
    assert_eq!(
        (&*python.options.channel, python.options.deadline),
        ("chat", Duration::from_secs(1))
    );
    assert!(python.wire.is_none() && python.namespaces.is_empty());
    assert_eq!(node.wire.as_ref().unwrap().0, WireName::NodeStreams);
    assert_eq!(node.namespaces, ["/", "/chat"]);
    let (url, options) = plan.control.as_ref().unwrap();
    assert_eq!(options.channel, "sio-bridge-python-node");
    assert_eq!(url.to_string(), python.url.to_string());
    assert!(!format!("{plan:?}").contains("hunter2"));
}

#[test]
fn flags_describe_sides_too_and_a_url_may_hold_commas() {
    let plan = plan(&[
        "--side",
        "name=a,channel=x,url=redis+cluster://h1:1,h2:2",
        "--side",
        "name=b,wire=node-classic,namespace=/,namespace=/chat,url=redis://h",
        "--name",
        "ab",
    ])
    .unwrap();
    assert_eq!(plan.sides[0].url.to_string(), "redis+cluster://h1:1,h2:2");
    assert_eq!(plan.sides[1].namespaces, ["/", "/chat"]);
    assert_eq!(plan.control.unwrap().1.channel, "sio-bridge-ab");
}

#[test]
fn a_url_need_not_be_the_last_key_of_a_side() {
    let plan = plan(&[
        "--side",
        "url=redis+cluster://h1:1,h2:2,name=a,channel=x",
        "--side",
        "name=b,url=kafka://h1:9092,h2:9092?acks=all,namespace=/,namespace=/chat",
    ])
    .unwrap();
    let [a, b] = &plan.sides[..] else {
        panic!("{:?}", plan.sides)
    };
    assert_eq!(
        (&*a.name, &*a.options.channel, a.url.to_string()),
        ("a", "x", "redis+cluster://h1:1,h2:2".to_owned())
    );
    assert!(b.url.to_string().starts_with("kafka://h1:9092,h2:9092"), "{}", b.url);
    assert_eq!(b.namespaces, ["/", "/chat"]);
}

#[test]
fn two_sides_that_are_the_same_fleet_are_refused_with_their_names() {
    let refused = |one: &str, two: &str| {
        let sides = plan(&["--side", &format!("name=a,{one}"), "--side", &format!("name=b,{two}")]);
        sides
            .err()
            .filter(|said| said.contains("sides \"a\" and \"b\" are the same fleet"))
    };
    for (one, two, is_refused) in [
        ("url=redis://h", "url=redis://h", true),
        ("url=redis://:hunter2@h", "url=redis://:hunter3@h", true),
        ("channel=x,url=redis://h", "channel=y,url=redis://h", false),
        ("url=redis://h", "url=redis://i", false),
        ("url=redis://h", "wire=node-classic,url=redis://h", false),
        (
            "wire=node-classic,url=redis://h",
            "wire=node-classic,url=redis://h",
            true,
        ),
        (
            "wire=node-classic,wire_prefix=p,url=redis://h",
            "wire=node-classic,url=redis://h",
            false,
        ),
    ] {
        let refused = refused(one, two);
        assert_eq!(refused.is_some(), is_refused, "{one} {two}");
        assert!(!refused.unwrap_or_default().contains("hunter"));
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place_and_a_proposal() {
    for (from, to, expected) in [
        (
            "channel =",
            "chanel =",
            "bridge.toml:15: unknown key \"chanel\"; did you mean channel?",
        ),
        ("[limits]", "[limit]", "did you mean limits?"),
        ("publish = \"1s\"", "publish = \"long\"", "bridge.toml:6: publish: "),
        ("takeover = \"3s\"", "takeover = \"2s\"", "lease and publish together"),
        ("node-streams", "node-stream", "none of the wires python, node-classic"),
        ("wire = \"node-streams\"\n", "", "side \"node\": --wire-stream"),
        ("url = \"redis://two\"\n", "", "side \"node\": url is missing"),
        (
            "url = \"redis://two\"",
            "url_file = \"/nonexistent/url\"",
            "/nonexistent/url cannot be opened",
        ),
        ("redis://two", "mqtt://two", "mqtt"),
        ("name = \"node\"\n", "", "name is missing"),
        (
            "[[side]]\nname = \"python\"",
            "[side]\nname = \"python\"",
            "bridge.toml",
        ),
        ("[\"/\", \"/chat\"]", "[]", "namespaces must not be empty"),
        ("\"1MiB\"", "\"1TiB\"", "unknown unit"),
        ("admin_listen = 9101", "admin_listen = \"unix:/s\"", "admin_listen"),
    ] {
        assert!(FILE.contains(from), "{from}");
        let said = of_file(&FILE.replacen(from, to, 1)).unwrap_err();
        assert!(said.contains(expected), "{to}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    for (side, expected) in [
        ("name=a", "url is missing"),
        ("name=a,name=b,url=redis://h", "name is given twice"),
        ("redis://:hunter2@h", "expected KEY=VALUE"),
        ("name=a,chanel=x,url=redis://h", "did you mean channel?"),
        ("name=a,url=redis://h,chanel=x", "did you mean channel?"),
        (
            "name=a,url_file=/nonexistent/url",
            "side \"a\": url_file: /nonexistent/url",
        ),
        (
            "name=a,wire=node-classic,silent_servers=true,url=redis://h",
            "silent_servers",
        ),
    ] {
        let said = plan(&["--side", side]).unwrap_err();
        assert!(said.contains(expected) && !said.contains("hunter2"), "{side}: {said}");
    }
    assert!(plan(&[]).unwrap_err().contains("--config"));
}
