use manager_api::ErrorKind;

use super::*;

fn parse(url: &str) -> Target {
    Target::parse(url, "channel").unwrap()
}

fn refusal(url: &str) -> String {
    let error = Target::parse(url, "channel").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = format!("{error} {error:?}");
    assert!(!text.contains("secret"), "{text}");
    text
}

fn node(host: &str, port: u16) -> Address {
    let host = host.to_owned();
    Address { host, port }
}

#[test]
fn plain_urls_name_one_node() {
    for (url, expected, has_tls) in [
        ("redis://", node("localhost", 6379), false),
        ("redis://h", node("h", 6379), false),
        ("REDIS://h:1/", node("h", 1), false),
        ("redis://[::1]:7/3", node("::1", 7), false),
        ("rediss://h:2/0?ca=/a%20b", node("h", 2), true),
        ("valkey://h:3?db=1", node("h", 3), false),
        ("valkeys://h", node("h", 6379), true),
    ] {
        let target = parse(url);
        assert_eq!(target.topology, Topology::Nodes(vec![expected]), "{url}");
        assert_eq!(target.has_tls, has_tls, "{url}");
    }
    assert_eq!(parse("rediss://h?ca=/a%20b").tls.ca, Some("/a b".into()));
}

#[test]
fn logins_are_decoded_and_never_shown() {
    for url in [
        "redis://me:s%40:%2Fecret@h",
        "redis://h?username=me&password=s%40:/ecret",
        "unix://me:s%40:%2Fecret@/run/r.sock",
    ] {
        let target = parse(url);
        assert_eq!(target.login.username.as_deref(), Some("me"), "{url}");
        assert_eq!(target.login.password.as_deref(), Some("s@:/ecret"), "{url}");
        assert!(!format!("{target:?} {}", target.label()).contains("ecret"));
    }
    assert_eq!(parse("redis://:pw@h").login.username, None);
}

#[test]
fn sentinel_and_cluster_urls_name_several_nodes() {
    let two = vec![node("a", 1), node("b", 26_379)];
    for (url, service) in [
        ("redis+sentinel://u:p@a:1,b/0/mymaster", "mymaster"),
        ("valkey+sentinel://a:1,b/mymaster", "mymaster"),
        ("rediss+sentinel://a:1,b/2", "channel"),
        ("redis+sentinel://a:1,b", "channel"),
    ] {
        let sentinels = two.clone();
        let service = service.to_owned();
        assert_eq!(parse(url).topology, Topology::Sentinel { sentinels, service }, "{url}");
    }
    let target = parse("rediss+cluster://a:1,b:2");
    assert_eq!(target.topology, Topology::Nodes(vec![node("a", 1), node("b", 2)]));
    assert!(target.has_tls);
}

#[test]
fn sentinels_have_a_login_and_certificates_names_of_their_own() {
    let target = parse("rediss+sentinel://u:p@a/s?sentinel_username=me&sentinel_password=s%40ecret&tls_server_name=n");
    assert_eq!(target.sentinel_login.username.as_deref(), Some("me"));
    assert_eq!(target.sentinel_login.password.as_deref(), Some("s@ecret"));
    assert_eq!(target.tls.server_name.as_deref(), Some("n"));
    assert!(!format!("{target:?}").contains("ecret"));
}

#[test]
fn a_scheme_may_name_a_stream() {
    assert_eq!(parse("redis://h").stream, None);
    for url in SCHEMES.iter().filter(|scheme| scheme.ends_with("+stream")) {
        let url = match url.contains("unix") {
            true => format!("{url}:///r.sock?max_len=5&max_age=60"),
            false => format!("{url}://h?max_len=5&max_age=60"),
        };
        let target = parse(&url);
        let expected = StreamParameters {
            max_len: Some(5),
            max_age: Some(Duration::from_secs(60)),
        };
        assert_eq!(target.stream, Some(expected), "{url}");
        assert_eq!(target.has_tls, url.starts_with("rediss") || url.starts_with("valkeys"));
    }
    assert_eq!(parse("redis+stream://h").stream, Some(StreamParameters::default()));
    assert!(matches!(
        parse("redis+sentinel+stream://h/s").topology,
        Topology::Sentinel { .. }
    ));
    for url in ["redis://h?max_len=5", "redis+cluster://h?max_age=5"] {
        assert!(refusal(url).contains("needs a scheme of a stream"));
    }
    assert!(refusal("redis+stream://h?max_len=-1").contains("not a number"));
}

#[test]
fn the_number_of_a_database_is_read_wherever_it_stands() {
    for (url, database) in [
        ("redis://h", 0),
        ("redis://h/", 0),
        ("redis://h/3", 3),
        ("redis://h/3?db=4", 4),
        ("redis+sentinel://a/5", 5),
        ("redis+sentinel://a/5/service", 5),
        ("redis+sentinel://a/service", 0),
        ("unix:///run/1.sock?db=6", 6),
    ] {
        assert_eq!(parse(url).database, database, "{url}");
    }
}

#[test]
fn unix_urls_name_a_path() {
    for url in [
        "unix:///run/r.sock?db=0",
        "redis+unix:///run/r.sock",
        "valkey+unix:///run/r.sock",
    ] {
        assert_eq!(parse(url).topology, Topology::Unix("/run/r.sock".into()), "{url}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_without_repeating_it() {
    let unknown = refusal("amqp://u:secret@h");
    assert!(
        unknown.contains("amqp") && unknown.contains("redis+sentinel"),
        "{unknown}"
    );
    for url in [
        "",
        "secret",
        "redis://u:secret@h:port",
        "redis://u:sec/secret@h",
        "redis://h:99999",
        "redis://h/secret",
        "redis://u:secret%4@h",
        "redis://a,b",
        "redis://h?ca=/secret",
        "redis://h?client_cert=/secret",
        "redis://h?tls_server_name=secret",
        "redis://h?sentinel_password=secret",
        "redis://h?nothing=secret",
        "unix://",
        "redis+sentinel://h/secret/x",
    ] {
        refusal(url);
    }
}
