//! What a server speaks, where librdkafka only tells that connections end: TLS or none, with a login or without.
//!
//! A server that speaks TLS, or wants a login, ends the connections of clients that come otherwise, as one does that is about to stop. So it
//! is asked, in either way, and only what it answers counts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use manager_api::lock::Unpoisoned;
use manager_api::log::Escaped;

/// The longest that anything waits for the outcome.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How long connecting, and each answer, may take.
const STEP: Duration = Duration::from_millis(400);
/// How long an outcome is good for.
const FRESH: Duration = Duration::from_secs(5);
/// The most servers of a URL, and addresses of one, that are asked.
const MAX_SERVERS: usize = 3;
const MAX_ADDRESSES: usize = 2;
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 16;
/// The most that is repeated of what a server says.
const MAX_WORDS: usize = 100;

/// "Which versions do you speak?", version 0, number 1.
const API_VERSIONS: &[u8] = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff";
/// "May I log in by `?`", version 1, number 2: a server that wants logins names those that it knows.
const SASL_HANDSHAKE: &[u8] = b"\0\0\0\x0d\0\x11\0\x01\0\0\0\x02\xff\xff\0\x01?";
/// The answer of one that wants logins, and knows no `?`.
const UNSUPPORTED_MECHANISM: i16 = 33;
/// The start of TLS 1.2 or 1.3, with usual ciphers and groups and no key.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\0\x60\x01\0\0\x5c\x03\x03\
    sio asks which protocol is here.\0\
    \0\x0c\x13\x01\x13\x02\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30\x01\0\
    \0\x27\
    \0\x0a\0\x06\0\x04\0\x1d\0\x17\
    \0\x0d\0\x0a\0\x08\x04\x03\x08\x04\x04\x01\x05\x01\
    \0\x2b\0\x05\x04\x03\x04\x03\x03\
    \0\x33\0\x02\0\0";

/// How this process comes to the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) has_tls: bool,
    pub(crate) has_login: bool,
    /// Whether TLS is built in.
    pub(crate) knows_tls: bool,
}

/// What a server speaks.
#[derive(Debug, PartialEq)]
enum Spoken {
    Tls,
    /// Kafka's protocol without TLS; and the logins of which it wants one.
    Plain(Option<String>),
}

/// The last outcome.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    last: Mutex<Option<(Instant, Option<String>)>>,
    is_asking: Arc<AtomicBool>,
}

impl Probe {
    /// Says what to change if one of `servers` speaks otherwise than `client`. Blocks for `limit` at most, and asks seldom.
    pub(crate) fn advice(&self, servers: &str, client: Client, limit: Duration) -> Option<String> {
        let mut last = self.last.lock().unpoisoned();
        if let Some((since, advice)) = &*last
            && since.elapsed() < FRESH
        {
            return advice.clone();
        }
        let advice = self.ask(servers.to_owned(), client, limit.min(PATIENCE));
        *last = Some((Instant::now(), advice.clone()));
        advice
    }

    /// Asks on a thread of its own, because looking a name up may take any time.
    fn ask(&self, servers: String, client: Client, limit: Duration) -> Option<String> {
        if self.is_asking.swap(true, Ordering::Relaxed) {
            return None;
        }
        let asking = Asking(self.is_asking.clone());
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name("sio-kafka-probe".to_owned());
        let spawned = thread.spawn(move || {
            let _asking = asking;
            let mut servers = servers.split(',').take(MAX_SERVERS);
            // The receiver may have given up.
            let _ = tell.send(servers.find_map(|server| client.advice(server, &spoken(server)?)));
        });
        spawned.ok()?;
        told.recv_timeout(limit).ok().flatten()
    }
}

/// Until this is dropped a thread asks.
struct Asking(Arc<AtomicBool>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Client {
    fn advice(self, server: &str, spoken: &Spoken) -> Option<String> {
        let advice = match spoken {
            Spoken::Tls if self.has_tls => return None,
            Spoken::Tls => {
                let instead = match self.has_login {
                    true => "security.protocol=SASL_SSL instead of SASL_PLAINTEXT",
                    false => "security.protocol=SSL, or SASL_SSL where it wants a login",
                };
                let build = match self.knows_tls {
                    true => "",
                    false => ", and a build with the cargo feature \"tls\" of manager-kafka (\"kafka-tls\" of sio)",
                };
                format!("this port speaks TLS, which takes {instead}{build}")
            }
            Spoken::Plain(_) if self.has_tls => {
                let instead = match self.has_login {
                    true => "take security.protocol=SASL_PLAINTEXT instead of SASL_SSL",
                    false => "leave security.protocol=SSL out",
                };
                format!("this port speaks no TLS: {instead}, or name the port with TLS")
            }
            Spoken::Plain(Some(logins)) if !self.has_login => format!(
                "this port wants a login, one of {}: security.protocol=SASL_PLAINTEXT&sasl.mechanism=…&sasl.username=…&sasl.password=…",
                Escaped(logins)
            ),
            Spoken::Plain(_) => return None,
        };
        Some(format!("{server}: {advice}"))
    }
}

/// Asks a server; `None` if it gives no answer that tells.
fn spoken(server: &str) -> Option<Spoken> {
    let addresses = server.to_socket_addrs().ok()?.take(MAX_ADDRESSES);
    addresses.into_iter().find_map(|address| {
        let plain = plain(address).ok();
        plain.or_else(|| is_tls(address).unwrap_or(false).then_some(Spoken::Tls))
    })
}

fn plain(address: SocketAddr) -> io::Result<Spoken> {
    let mut stream = dial(address)?;
    answer(&mut stream, API_VERSIONS, 1)?;
    let Ok(answer) = answer(&mut stream, SASL_HANDSHAKE, 2) else {
        return Ok(Spoken::Plain(None));
    };
    let wants_login = answer.get(..2) == Some(&UNSUPPORTED_MECHANISM.to_be_bytes()[..]);
    Ok(Spoken::Plain(
        wants_login.then(|| words(answer.get(2..).unwrap_or_default())),
    ))
}

/// Sends a request and returns what follows its number in the answer.
fn answer(stream: &mut TcpStream, request: &[u8], number: i32) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let (len, told) = head.split_at(4);
    let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    if told != number.to_be_bytes() || !(4..MAX_ANSWER).contains(&len) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; len - 4];
    stream.read_exact(&mut rest)?;
    Ok(rest)
}

fn is_tls(address: SocketAddr) -> io::Result<bool> {
    let mut stream = dial(address)?;
    stream.write_all(CLIENT_HELLO)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    // A handshake or an alert, of any version.
    Ok(matches!(head, [0x15 | 0x16, 3]))
}

fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, STEP)?;
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    Ok(stream)
}

/// The strings of an array, each with its length in front.
fn words(array: &[u8]) -> String {
    let mut rest = array.get(4..).unwrap_or_default();
    let mut words = Vec::new();
    while let [high, low, text @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(text.len());
        words.push(String::from_utf8_lossy(&text[..len]));
        rest = &text[len..];
    }
    words.join(", ").chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
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

    fn told(server: &str, client: Client) -> String {
        Probe::default().advice(server, client, PATIENCE).unwrap_or_default()
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
        let other = server(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]);
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
            (&other, PLAIN),
        ] {
            assert_eq!(told(server, client), "", "{client:?}");
        }
        assert!(told(&format!("{silent},{tls}"), PLAIN).contains(&tls));
    }
}
