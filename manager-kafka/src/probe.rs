//! Probes of what a server speaks, where librdkafka only reports that connections end: TLS or not, with a login or
//! without, or another protocol.
//!
//! A server that expects TLS or a login ends the connections of other clients, as does one that is about to stop. It
//! is therefore probed in either way, and only its responses count.

mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use manager_api::diagnosis::Code;
use manager_api::lock::Unpoisoned;
use manager_api::log::Escaped;

/// The limit for waiting for the outcome.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// The limit of connecting, and of each response; also of a response to a line of text.
const STEP: Duration = Duration::from_millis(350);
const LINE_STEP: Duration = Duration::from_millis(200);
/// The time for which an outcome is valid.
const FRESH: Duration = Duration::from_secs(5);
/// The maximum number of servers of a URL, and of addresses of one, that are probed.
const MAX_SERVERS: usize = 3;
const MAX_ADDRESSES: usize = 2;
/// The maximum length of a response, in bytes.
const MAX_ANSWER: usize = 1 << 16;
/// The maximum length of a server's text that is repeated.
const MAX_WORDS: usize = 100;

/// A request for the supported versions: version 0, number 1.
const API_VERSIONS: &[u8] = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff";
/// A request to log in by the mechanism `?`: version 1, number 2. A server that requires a login names the mechanisms
/// that it supports.
const SASL_HANDSHAKE: &[u8] = b"\0\0\0\x0d\0\x11\0\x01\0\0\0\x02\xff\xff\0\x01?";
/// The response of a server that requires a login by another mechanism than `?`.
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

/// The way in which this process connects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) has_tls: bool,
    pub(crate) has_login: bool,
    /// Whether TLS is built in.
    pub(crate) knows_tls: bool,
}

/// The protocol of a server.
#[derive(Debug, PartialEq)]
enum Spoken {
    Tls,
    /// Kafka's protocol without TLS; and the mechanisms of login, if one is required.
    Plain(Option<String>),
    /// Another service, by its name with the article.
    Other(&'static str),
    /// Connections are accepted, but there is no response.
    Nothing,
}

/// The advice about a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Advice {
    /// The server is not what the URL says: another attempt is pointless. The cause as a diagnosis calls it comes first.
    WrongUrl(Code, String),
    /// There is no response, which may be transient.
    Silent(String),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::WrongUrl(_, text) | Self::Silent(text)) = self;
        f.write_str(text)
    }
}

/// The last outcome.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    last: Mutex<Option<(Instant, Option<Advice>)>>,
    is_asking: Arc<AtomicBool>,
}

impl Probe {
    /// Returns what to change if one of `servers` speaks otherwise than `client`. Blocks for at most `limit`, and probes
    /// rarely.
    pub(crate) fn advice(&self, servers: &str, client: Client, limit: Duration) -> Option<Advice> {
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

    /// Probes on a thread of its own, because the duration of a name look-up is not limited.
    fn ask(&self, servers: String, client: Client, limit: Duration) -> Option<Advice> {
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

/// Guard of a probe in progress.
struct Asking(Arc<AtomicBool>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Client {
    fn advice(self, server: &str, spoken: &Spoken) -> Option<Advice> {
        let (cause, advice) = match spoken {
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
                (Code::Tls, format!("this port speaks TLS, which takes {instead}{build}"))
            }
            Spoken::Plain(_) if self.has_tls => {
                let instead = match self.has_login {
                    true => "take security.protocol=SASL_PLAINTEXT instead of SASL_SSL",
                    false => "leave security.protocol=SSL out",
                };
                (
                    Code::Tls,
                    format!("this port speaks no TLS: {instead}, or name the port with TLS"),
                )
            }
            Spoken::Plain(Some(logins)) if !self.has_login => {
                let text = format!(
                    "this port wants a login, one of {}: security.protocol=SASL_PLAINTEXT&sasl.mechanism=…&sasl.username=…&sasl.password=…",
                    Escaped(logins)
                );
                (Code::Login, text)
            }
            Spoken::Plain(_) => return None,
            Spoken::Other(name) => (
                Code::WrongService,
                format!("this port has {name}, not Kafka: name the port of a Kafka broker"),
            ),
            Spoken::Nothing => {
                let text = "it accepts connections and answers nothing: it stands still, or another service listens at this port";
                return Some(Advice::Silent(format!("{server}: {text}")));
            }
        };
        Some(Advice::WrongUrl(cause, format!("{server}: {advice}")))
    }
}

/// Probes a server; `None` without a meaningful response.
fn spoken(server: &str) -> Option<Spoken> {
    let addresses = server.to_socket_addrs().ok()?.take(MAX_ADDRESSES);
    addresses.into_iter().find_map(|address| {
        let first = first(address).ok()?;
        match first {
            Some(spoken @ (Spoken::Plain(_) | Spoken::Tls | Spoken::Other(_))) => Some(spoken),
            first => is_tls(address).unwrap_or(false).then_some(Spoken::Tls).or(first),
        }
    })
}

/// Probes in Kafka's protocol, then by a line of text if there is no response; `None` if the connection ends without
/// a response.
fn first(address: SocketAddr) -> io::Result<Option<Spoken>> {
    let mut stream = dial(address)?;
    stream.write_all(API_VERSIONS)?;
    let mut head = Vec::new();
    let outcome = read_up_to(&mut stream, &mut head, 8);
    Ok(match head.as_slice() {
        [] => {
            drop(stream);
            return match outcome {
                Answer::Late => by_line(address),
                _ => Ok(None),
            };
        }
        [0x15 | 0x16, 3, ..] => Some(Spoken::Tls),
        // The beginning of a response that was cut off.
        [0, ..] if head.len() < 8 => None,
        head => match len_of_rest(head, 1) {
            None => Some(Spoken::Other(service::name(head))),
            Some(len) => {
                stream.read_exact(&mut vec![0; len])?;
                Some(Spoken::Plain(logins(&mut stream)))
            }
        },
    })
}

/// Probes a server that waits for the end of a line.
fn by_line(address: SocketAddr) -> io::Result<Option<Spoken>> {
    let mut stream = dial(address)?;
    stream.set_read_timeout(Some(LINE_STEP))?;
    stream.write_all(service::LINE)?;
    let mut head = Vec::new();
    let outcome = read_up_to(&mut stream, &mut head, service::MAX_GREETING);
    Ok(match (head.as_slice(), outcome) {
        ([], Answer::Late) => Some(Spoken::Nothing),
        ([], _) => None,
        ([0x15 | 0x16, 3, ..], _) => Some(Spoken::Tls),
        (head, _) => Some(Spoken::Other(service::name(head))),
    })
}

/// The outcome of reading.
enum Answer {
    Complete,
    Ended,
    Late,
}

/// Reads until there are `len` bytes.
fn read_up_to(stream: &mut TcpStream, into: &mut Vec<u8>, len: usize) -> Answer {
    let mut bytes = [0; service::MAX_GREETING];
    while into.len() < len {
        let most = (len - into.len()).min(bytes.len());
        match stream.read(&mut bytes[..most]) {
            Ok(0) => return Answer::Ended,
            Ok(read) => into.extend_from_slice(&bytes[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Answer::Late;
            }
            Err(_) => return Answer::Ended,
        }
    }
    Answer::Complete
}

/// Returns the mechanisms of login of which the server requires one.
fn logins(stream: &mut TcpStream) -> Option<String> {
    let answer = answer(stream, SASL_HANDSHAKE, 2).ok()?;
    let wants_login = answer.get(..2) == Some(&UNSUPPORTED_MECHANISM.to_be_bytes()[..]);
    wants_login.then(|| words(answer.get(2..).unwrap_or_default()))
}

/// Sends a request and returns what follows its number in the response.
fn answer(stream: &mut TcpStream, request: &[u8], number: i32) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let len = len_of_rest(&head, number).ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = vec![0; len];
    stream.read_exact(&mut rest)?;
    Ok(rest)
}

/// Returns the length of a response after its first eight bytes; `None` if they do not begin a response of Kafka to
/// the request with this number.
fn len_of_rest(head: &[u8], number: i32) -> Option<usize> {
    let (len, told) = head.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let is_answer = told.get(..4) == Some(&number.to_be_bytes()[..]) && (4..MAX_ANSWER).contains(&len);
    is_answer.then(|| len - 4)
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

/// Returns the strings of an array, each preceded by its length.
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
