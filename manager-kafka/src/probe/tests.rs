//! Unit tests of the probe, at servers that answer what they are told to.

use std::net::TcpListener;

use super::*;

const PLAIN: Client = Client {
    has_tls: false,
    has_login: false,
    knows_tls: true,
};

/// A server that gives each connection the answers, one for each request, and ends it.
fn server(answers: &'static [&'static [u8]]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            for answer in answers {
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(answer);
            }
        }
    });
    address
}

/// A server that answers a line of text, and waits for the end of anything else.
fn line_server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 512];
            let is_line = stream.read(&mut request).is_ok() && request.starts_with(b"PING");
            let _ = stream.write_all(if is_line { answer } else { b"" });
            while stream.read(&mut request).is_ok_and(|read| read > 0) {}
        }
    });
    address
}

/// Returns the cause that a probe finds, and its text.
fn cause(server: &str, client: Client) -> Option<Code> {
    match Probe::default().advice(server, client, PATIENCE)? {
        Advice::WrongUrl(cause, _) => Some(cause),
        Advice::Silent(_) => None,
    }
}

fn told(server: &str, client: Client) -> String {
    let advice = Probe::default().advice(server, client, PATIENCE);
    advice.map(|advice| advice.to_string()).unwrap_or_default()
}

#[test]
fn the_hello_says_its_own_length() {
    let [record, handshake, extensions] = [3, 6 + 1, 5 + 4 + 2 + 32 + 1 + 14 + 2];
    let len = |at: usize| usize::from(u16::from_be_bytes([CLIENT_HELLO[at], CLIENT_HELLO[at + 1]]));
    for at in [record, handshake, extensions] {
        assert_eq!(len(at), CLIENT_HELLO.len() - at - 2, "at {at}");
    }
}

#[test]
fn only_what_a_server_answers_counts() {
    const VERSIONS: &[u8] = b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0";
    let tls = server(&[b"\x15\x03\x03\0\x02\x02\x28"]);
    let plain = server(&[VERSIONS, b"\0\0\0\x0a\0\0\0\x02\0\x22\0\0\0\0"]);
    let login = server(&[VERSIONS, b"\0\0\0\x11\0\0\0\x02\0\x21\0\0\0\x01\0\x05PLAIN"]);
    let silent = server(&[]);
    let with_tls = Client { has_tls: true, ..PLAIN };
    let with_login = Client {
        has_login: true,
        ..PLAIN
    };
    for (server, client, text) in [
        (&tls, PLAIN, "speaks TLS, which takes security.protocol=SSL"),
        (&tls, with_login, "SASL_SSL instead"),
        (&plain, with_tls, "speaks no TLS"),
        (&login, with_tls, "speaks no TLS"),
        (&login, PLAIN, "wants a login, one of PLAIN"),
    ] {
        let told = told(server, client);
        assert!(told.contains(text) && told.contains(server), "{text}: {told}");
    }
    for (server, client) in [
        (&tls, with_tls),
        (&plain, PLAIN),
        (&login, with_login),
        (&silent, PLAIN),
        (&silent, with_tls),
    ] {
        assert_eq!(told(server, client), "", "{client:?}");
    }
    assert!(told(&format!("{silent},{tls}"), PLAIN).contains(&tls));
    for (server, client, expected) in [
        (&tls, PLAIN, Code::Tls),
        (&plain, with_tls, Code::Tls),
        (&login, PLAIN, Code::Login),
    ] {
        assert_eq!(cause(server, client), Some(expected));
    }
}

/// What other services answer, and what they are called.
const SERVICES: [(&[&[u8]], &str); 4] = [
    (&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "an HTTP server"),
    (&[b"SSH-2.0-x\r\n"], "an SSH server"),
    (&[b"AMQP\0\0\x09\x01"], "RabbitMQ"),
    (&[b"hi"], "another service"),
];

fn wrong_url(advice: Option<Advice>) -> Option<String> {
    match advice? {
        Advice::WrongUrl(_, text) => Some(text),
        Advice::Silent(_) => None,
    }
}

#[test]
fn another_service_is_named_and_one_that_says_nothing_is_no_refusal() {
    let with_tls = Client { has_tls: true, ..PLAIN };
    let greeting = SERVICES.map(|(answers, name)| (server(answers), name));
    let redis =
        [&b"+PONG\r\n"[..], b"-NOAUTH Authentication required.\r\n"].map(|answer| (line_server(answer), "Redis"));
    for (server, name) in greeting.into_iter().chain(redis) {
        for client in [PLAIN, with_tls] {
            // On a busy machine an answer may come too late.
            let mut tries = (0..20).map(|_| Probe::default().advice(&server, client, PATIENCE));
            let Some(text) = tries.find_map(wrong_url) else {
                panic!("{name}: nothing was told");
            };
            assert!(text.starts_with(&format!("{server}: this port has {name}")), "{text}");
        }
    }
    let still = TcpListener::bind("127.0.0.1:0").unwrap();
    let still = still.local_addr().unwrap().to_string();
    let mut tries = (0..20).filter_map(|_| Probe::default().advice(&still, PLAIN, PATIENCE));
    let advice = tries.next();
    assert!(matches!(advice, Some(Advice::Silent(_))), "{advice:?}");
}

#[test]
fn a_broker_that_answers_late_is_not_taken_for_another_service() {
    let late = server(&[b"", b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0"]);
    let advice = Probe::default().advice(&late, PLAIN, PATIENCE);
    assert!(!matches!(advice, Some(Advice::WrongUrl(..))), "{advice:?}");
    let cut_off = server(&[b"\0\0\0"]);
    assert_eq!(told(&cut_off, PLAIN), "");
}
