//! The check of origins in a table: what clients send, what proxies add, and what is allowed.

use engine_io::Config;
use engine_io::config::AllowedOrigins;

use crate::client::Pending;
use crate::support::Server;

use Expected::{Accepted, Refused};
use Rule::{Any, List, Off, Predicate, Same};

const OPEN: &str = "/?EIO=4&transport=polling";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Same,
    /// `https://app.example`, `http://[::1]:8080`, `capacitor://localhost`, `null`.
    List,
    Any,
    Off,
    /// The same origin, or `file://`.
    Predicate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Accepted,
    Refused,
}

impl Rule {
    fn origins(self) -> AllowedOrigins {
        match self {
            Same => AllowedOrigins::SameOrigin,
            List => [
                "https://app.example",
                "http://[::1]:8080",
                "capacitor://localhost",
                "null",
            ]
            .into(),
            Any => AllowedOrigins::Any,
            Off => AllowedOrigins::Off,
            Predicate => AllowedOrigins::matching(|origin, request| {
                origin == "file://" || AllowedOrigins::is_same_origin(origin, request)
            }),
        }
    }
}

/// Origin, host, what proxies add (name and value, in short), rule, outcome.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Rule,
    Expected,
);

const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const PORT: &str = "x-forwarded-port";

/// Clients that reach the server without a proxy.
const DIRECT: [Case; 28] = [
    ("http://app.example", "app.example", &[], Same, Accepted),
    ("http://app.example:80", "app.example", &[], Same, Accepted),
    ("http://app.example", "app.example:80", &[], Same, Accepted),
    ("HTTP://APP.Example", "app.example", &[], Same, Accepted),
    ("http://app.example:3000", "app.example:3000", &[], Same, Accepted),
    ("http://app.example", "app.example:3000", &[], Same, Refused),
    ("https://app.example", "app.example", &[], Same, Refused),
    ("http://app.example.evil", "app.example", &[], Same, Refused),
    ("http://evil.example", "app.example", &[], Same, Refused),
    ("http://[::1]:3000", "[::1]:3000", &[], Same, Accepted),
    ("http://[0:0:0:0:0:0:0:1]", "[::1]", &[], Same, Accepted),
    ("http://[::2]", "[::1]", &[], Same, Refused),
    // Swift's client names a WebSocket's origin by its own scheme.
    ("ws://app.example", "app.example", &[], Same, Accepted),
    ("ws://app.example:80", "app.example", &[], Same, Accepted),
    ("wss://app.example", "app.example", &[], Same, Refused),
    ("wss://app.example:443", "app.example", &[], List, Accepted),
    ("null", "app.example", &[], Same, Refused),
    ("null", "app.example", &[], List, Accepted),
    // Arduino's client.
    ("file://", "app.example", &[], Same, Refused),
    ("file://", "app.example", &[], Predicate, Accepted),
    ("http://app.example", "app.example", &[], Predicate, Accepted),
    ("http://evil.example", "app.example", &[], Predicate, Refused),
    ("*", "app.example", &[], Any, Accepted),
    ("", "app.example", &[], Off, Accepted),
    ("http://app.example/", "app.example", &[], Any, Accepted),
    ("capacitor://localhost", "app.example", &[], List, Accepted),
    ("ionic://localhost", "app.example", &[], List, Refused),
    ("http://[0::1]:8080", "app.example", &[], List, Accepted),
];

/// Header shapes of proxies, each with the page of its own site and with a foreign one.
const PROXIED: [Case; 32] = [
    // Traefik: passes Host on, and names WebSockets by their own scheme.
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https"), (HOST, "app.example"), (PORT, "443")],
        Same,
        Accepted,
    ),
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "wss"), (HOST, "app.example"), (PORT, "443")],
        Same,
        Accepted,
    ),
    (
        "http://app.example",
        "app.example",
        &[(PROTO, "ws"), (HOST, "app.example"), (PORT, "80")],
        Same,
        Accepted,
    ),
    (
        "https://evil.example",
        "app.example",
        &[(PROTO, "wss"), (HOST, "app.example"), (PORT, "443")],
        Same,
        Refused,
    ),
    (
        "https://app.example:8443",
        "app.example:8443",
        &[(PROTO, "wss"), (HOST, "app.example:8443"), (PORT, "8443")],
        Same,
        Accepted,
    ),
    (
        "wss://app.example",
        "app.example",
        &[(PROTO, "wss"), (HOST, "app.example"), (PORT, "443")],
        Same,
        Accepted,
    ),
    // Caddy: passes Host on, with X-Forwarded-Host and -Proto.
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https"), (HOST, "app.example")],
        Same,
        Accepted,
    ),
    (
        "https://app.example:8443",
        "app.example:8443",
        &[(PROTO, "https"), (HOST, "app.example:8443")],
        Same,
        Accepted,
    ),
    (
        "https://evil.example",
        "app.example",
        &[(PROTO, "https"), (HOST, "app.example")],
        Same,
        Refused,
    ),
    (
        "https://app.example",
        "127.0.0.1:3000",
        &[(PROTO, "https"), (HOST, "app.example")],
        Same,
        Accepted,
    ),
    // ALB: passes Host on, X-Forwarded-Proto and -Port, never -Host.
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https"), (PORT, "443")],
        Same,
        Accepted,
    ),
    (
        "http://app.example",
        "app.example",
        &[(PROTO, "http"), (PORT, "80")],
        Same,
        Accepted,
    ),
    (
        "https://app.example:8443",
        "app.example:8443",
        &[(PROTO, "https"), (PORT, "8443")],
        Same,
        Accepted,
    ),
    (
        "https://app.example:8443",
        "app.example",
        &[(PROTO, "https"), (PORT, "8443")],
        Same,
        Accepted,
    ),
    (
        "https://app.example:8444",
        "app.example",
        &[(PROTO, "https"), (PORT, "8443")],
        Same,
        Refused,
    ),
    (
        "https://evil.example",
        "app.example",
        &[(PROTO, "https"), (PORT, "443")],
        Same,
        Refused,
    ),
    // nginx and HAProxy as docs/deploy.md has them, and as they are without Host.
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https")],
        Same,
        Accepted,
    ),
    (
        "http://app.example:8080",
        "app.example:8080",
        &[(PROTO, "http")],
        Same,
        Accepted,
    ),
    ("https://app.example", "backend", &[(PROTO, "https")], Same, Refused),
    ("https://app.example", "app.example", &[], Same, Refused),
    // Empty values, lists, upper case, nonsense.
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https"), (HOST, "")],
        Same,
        Accepted,
    ),
    (
        "http://app.example",
        "app.example",
        &[(PROTO, ""), (HOST, "")],
        Same,
        Accepted,
    ),
    (
        "https://app.example",
        "inner",
        &[(PROTO, "https, http"), (HOST, "app.example, inner")],
        Same,
        Accepted,
    ),
    (
        "https://inner",
        "other",
        &[(PROTO, "https, http"), (HOST, "app.example, inner")],
        Same,
        Refused,
    ),
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "WSS,http")],
        Same,
        Accepted,
    ),
    (
        "https://app.example:8443",
        "app.example",
        &[(PROTO, "https"), (PORT, "8443, 80")],
        Same,
        Accepted,
    ),
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https"), (PORT, "x")],
        Same,
        Accepted,
    ),
    (
        "https://app.example",
        "app.example",
        &[(PROTO, "https"), (PORT, "")],
        Same,
        Accepted,
    ),
    (
        "https://[::1]:8443",
        "inner",
        &[(PROTO, "https"), (HOST, "[::1]"), (PORT, "8443")],
        Same,
        Accepted,
    ),
    (
        "https://app.example:9000",
        "inner",
        &[(PROTO, "https"), (HOST, "app.example:8443"), (PORT, "9000")],
        Same,
        Refused,
    ),
    // A list does not look at what proxies say.
    ("https://app.example", "inner", &[(PROTO, "http")], List, Accepted),
    ("https://inner", "inner", &[(PROTO, "https")], List, Refused),
];

async fn outcome(server: &Server, (origin, host, added, ..): Case) -> Expected {
    let added: String = added
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request =
        format!("GET {OPEN} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\norigin: {origin}\r\n{added}\r\n");
    let response = Pending::raw(server.addr, request.as_bytes()).await.response().await;
    match response.status {
        200 => Accepted,
        _ => {
            assert!(response.body.contains("Not an accepted origin"), "{}", response.body);
            Refused
        }
    }
}

#[tokio::test]
async fn sixty_origins_hosts_and_proxies_are_accepted_or_refused_as_the_table_says() {
    let mut wrong = Vec::new();
    for rule in [Same, List, Any, Off, Predicate] {
        let server = Server::start(Config {
            cors_allowed_origins: rule.origins(),
            ..Config::default()
        })
        .await;
        for case in DIRECT.into_iter().chain(PROXIED).filter(|case| case.3 == rule) {
            if outcome(&server, case).await != case.4 {
                wrong.push(case);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
