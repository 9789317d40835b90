//! RabbitMQ 4.3 and later, simulated in one respect: it refuses queues that are neither durable nor exclusive.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

const REFUSAL: &str = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated. Its use is not permitted per the configuration.";

/// A broker on a port of its own.
struct Rabbit {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// As versions before 4.3 do.
    takes_transient: bool,
    /// Names and flags of the queues.
    queues: HashMap<Vec<u8>, u8>,
    num_refusals: usize,
    connections: Vec<AbortHandle>,
}

impl Rabbit {
    async fn start(takes_transient: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("amqp://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            takes_transient,
            ..State::default()
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = tokio::spawn(serve(stream, shared.clone()));
                shared.lock().unwrap().connections.push(connection.abort_handle());
            }
        });
        Self { url, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Ends it, and starts a newer version in its place: queues that are not durable are gone.
    fn upgrade(&self) {
        let mut state = self.state();
        state.takes_transient = false;
        state.queues.retain(|_, flags| *flags & DURABLE != 0);
        for connection in state.connections.drain(..) {
            connection.abort();
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    stream.read_exact(&mut [0; 8]).await?;
    // Version 0-9, no properties, one mechanism, one locale.
    let start = [&[0, 9, 0, 0, 0, 0][..], &long(b"PLAIN"), &long(b"en_US")].concat();
    send(&mut stream, 0, (10, 10), &start).await?;
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head).await?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; len as usize + 1];
        stream.read_exact(&mut payload).await?;
        if head[0] != 1 {
            continue;
        }
        let method = (
            u16::from_be_bytes([payload[0], payload[1]]),
            u16::from_be_bytes([payload[2], payload[3]]),
        );
        let answer = state.lock().unwrap().answer(channel, method, &payload[4..]);
        if let Some((channel, method, arguments)) = answer {
            send(&mut stream, channel, method, &arguments).await?;
        }
    }
}

type Method = (u16, u16);

/// Flags of a queue that is declared.
const PASSIVE: u8 = 0b1;
const DURABLE: u8 = 0b10;
const EXCLUSIVE: u8 = 0b100;

impl State {
    fn answer(&mut self, channel: u16, method: Method, arguments: &[u8]) -> Option<(u16, Method, Vec<u8>)> {
        let fields = match method {
            // Start-ok is answered by tune, tune-ok by nothing.
            (10, 11) => return Some((0, (10, 30), vec![0, 10, 0, 2, 0, 0, 0, 0])),
            // Neither are close-ok of a connection and of a channel, nor what is published.
            (10, 31 | 51) | (20, 41) | (60, 40) => return None,
            (10, 40) => vec![0],
            (20, 10) => vec![0; 4],
            (50, 10) => return Some(self.declare(channel, arguments)),
            (60, 20) => short(b"consumer"),
            _ => Vec::new(),
        };
        Some((channel, (method.0, method.1 + 1), fields))
    }

    /// Reads the name and, behind it, the flags of a queue.
    fn declare(&mut self, channel: u16, arguments: &[u8]) -> (u16, Method, Vec<u8>) {
        let end = 3 + usize::from(arguments[2]);
        let (name, flags) = (arguments[3..end].to_vec(), arguments[end]);
        if flags & PASSIVE != 0 && !self.queues.contains_key(&name) {
            return (channel, (20, 40), closing(404, "NOT_FOUND - no queue"));
        }
        if flags & PASSIVE == 0 {
            if flags & (DURABLE | EXCLUSIVE) == 0 && !self.takes_transient {
                self.num_refusals += 1;
                return (0, (10, 50), closing(541, REFUSAL));
            }
            if self.queues.get(&name).is_some_and(|declared| *declared != flags) {
                return (
                    channel,
                    (20, 40),
                    closing(406, "PRECONDITION_FAILED - inequivalent arg"),
                );
            }
            self.queues.insert(name, flags);
        }
        (channel, (50, 11), [&short(b"q")[..], &[0; 8]].concat())
    }
}

/// The frame that closes a channel or a connection because of a queue's declaration.
fn closing(code: u16, text: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], &short(text.as_bytes()), &[0, 50, 0, 10]].concat()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text].concat()
}

async fn send(stream: &mut TcpStream, channel: u16, method: Method, arguments: &[u8]) -> io::Result<()> {
    let payload = [&method.0.to_be_bytes()[..], &method.1.to_be_bytes(), arguments].concat();
    let len = payload.len() as u32;
    let frame = [&[1][..], &channel.to_be_bytes(), &len.to_be_bytes(), &payload, &[0xce]].concat();
    stream.write_all(&frame).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_of_queue_that_the_broker_refuses_is_an_error_at_once_and_the_default_is_none() {
    let Rabbit { url, .. } = &Rabbit::start(false).await;
    let transient = AmqpManager::new(&format!("{url}?queue=transient"), super::patient("socketio")).unwrap();
    let since = Instant::now();
    let error = transient.subscribe().await.unwrap_err();
    assert!(since.elapsed() < integration::DEADLINE, "{:?}", since.elapsed());
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Config, false),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("?queue=durable") && text.contains("transient_nonexcl_queues"),
        "{text}"
    );

    for kind in ["", "?queue=auto", "?queue=durable", "?queue=exclusive", "?queue=quorum"] {
        let manager = AmqpManager::new(&format!("{url}{kind}"), AmqpOptions::default()).unwrap();
        manager
            .subscribe()
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        let health = manager.health();
        assert_eq!((health.num_refusals, health.last_error), (0, None), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_queue_is_transient_where_that_is_taken_and_durable_where_it_is_refused() {
    for (takes_transient, is_durable) in [(true, false), (false, true)] {
        let rabbit = Rabbit::start(takes_transient).await;
        let manager = AmqpManager::new(&rabbit.url, AmqpOptions::default()).unwrap();
        let _subscription = manager.subscribe().await.unwrap();
        let state = rabbit.state();
        let flags: Vec<_> = state.queues.values().map(|flags| flags & DURABLE != 0).collect();
        assert_eq!(flags, [is_durable]);
        assert_eq!(state.num_refusals, usize::from(is_durable));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_to_a_broker_that_refuses_the_queue_it_took_before_is_a_gap_and_no_end() {
    let rabbit = Rabbit::start(true).await;
    let mut options = AmqpOptions::default();
    options.common.backoff_base = Duration::from_millis(10);
    let manager = AmqpManager::new(&rabbit.url, options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    rabbit.upgrade();
    let incoming = timeout(integration::DEADLINE, subscription.recv()).await.unwrap();
    assert!(matches!(incoming, Some(Incoming::Gap { .. })), "{incoming:?}");
    let state = rabbit.state();
    assert!(state.queues.values().all(|flags| flags & DURABLE != 0));
    assert_eq!((state.queues.len(), state.num_refusals), (1, 1));
    assert_eq!(manager.health().num_refusals, 0);
}
