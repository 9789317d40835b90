//! Two servers on one Redis under a random script: whatever clients and servers do, nothing is left of it.
//!
//! `SIO_TEST_SEED` runs one script again.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use integration::brokers::{RedisBroker, unique_channel};
use integration::{DEADLINE, app, managers};
use socket_io::{Config, SocketIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{eventually, within};

const STEPS: usize = 400;
const MAX_CLIENTS: usize = 40;
const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
/// How long questions wait in the script: some meet clients and servers that say nothing.
const SHORT: Duration = Duration::from_millis(200);

/// A server on a runtime of its own, whose tasks can be counted.
struct Host {
    io: SocketIo,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    runtime: Runtime,
}

impl Host {
    async fn start(url: &str, channel: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (url, channel) = (url.to_owned(), channel.to_owned());
        let started = runtime.spawn(async move {
            let manager = managers::on_channel(&url, &channel);
            // The clocks that all clients share stop when the last entry is due: within these times, not within a minute.
            let soon = |config: &mut Config| {
                config.connect_timeout = Duration::from_secs(10);
                config.engine.ping_interval = Duration::from_secs(1);
            };
            let io = SocketIo::builder().manager_arc(manager).configure(soon).build();
            app::register(&io);
            io.namespace("/other");
            io.ready().await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            (io, listener.local_addr().unwrap(), listener)
        });
        let (io, address, listener) = within("the subscription", started).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = io.clone();
        let served = runtime.spawn(async move {
            socket_io::serve(listener, server, async { drop(stopped.await) })
                .await
                .unwrap();
        });
        Self {
            io,
            address,
            stop,
            served,
            runtime,
        }
    }

    fn num_tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// What is open now: sessions, clients, rooms, questions of both kinds.
    fn left(&self) -> [u64; 5] {
        let metrics = self.io.metrics();
        [
            metrics.engine.open_sessions,
            metrics.num_clients as u64,
            metrics.num_rooms as u64,
            metrics.hub.questions,
            metrics.hub.server_questions,
        ]
    }
}

/// A client that reads what comes, in a task of this test, and does what it is told.
struct Client {
    sid: String,
    commands: mpsc::UnboundedSender<Message>,
    task: JoinHandle<()>,
}

impl Client {
    /// Connects; answers every other question.
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (mut stream, _) = within("the handshake", client_async(url, stream)).await.unwrap();
        stream.send(Message::text("40")).await.unwrap();
        let sid = loop {
            let packet = within("the acceptance", stream.next()).await.unwrap().unwrap();
            let text = packet.to_text().unwrap();
            if let Some(rest) = text.strip_prefix("40{\"sid\":\"") {
                break rest.split('"').next().unwrap().to_owned();
            }
        };
        let (commands, mut told) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut num_questions = 0;
            loop {
                let send = tokio::select! {
                    packet = stream.next() => match packet {
                        Some(Ok(Message::Text(text))) if text.as_str() == "2" => Some("3".to_owned()),
                        Some(Ok(Message::Text(text))) => {
                            let id: String = text.as_str().chars().skip(2).take_while(char::is_ascii_digit).collect();
                            let is_question = text.as_str().starts_with("42") && !id.is_empty();
                            num_questions += u32::from(is_question);
                            (is_question && num_questions % 2 == 0).then(|| format!("43{id}[1]"))
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                        Some(Ok(_)) => None,
                    },
                    Some(message) = told.recv() => {
                        // The server may have gone first.
                        let _ = stream.send(message).await;
                        None
                    }
                };
                if let Some(text) = send {
                    let _ = stream.send(Message::text(text)).await;
                }
            }
        });
        Self { sid, commands, task }
    }

    fn send(&self, packet: &str) {
        let _ = self.commands.send(Message::text(packet));
    }

    /// Ends, in one of the ways in which clients do.
    fn end(self, random: &mut fastrand::Rng) {
        match random.u8(0..4) {
            // Without a word.
            0 | 1 => self.task.abort(),
            2 => self.send("1"),
            _ => drop(self.commands.send(Message::Close(None))),
        }
    }
}

/// One step of the script.
async fn step(hosts: &[Host; 2], clients: &mut Vec<Client>, asked: &mut JoinSet<()>, random: &mut fastrand::Rng) {
    let io = &random.choice(hosts).unwrap().io;
    let room = ROOMS[random.usize(0..ROOMS.len())];
    if clients.is_empty() || (clients.len() < MAX_CLIENTS && random.u8(0..4) == 0) {
        clients.push(Client::connect(random.choice(hosts).unwrap().address).await);
        return;
    }
    let at = random.usize(0..clients.len());
    let sid = clients[at].sid.clone();
    match random.u8(0..16) {
        0 => clients[at].send(&format!("421[\"join\",\"{room}\"]")),
        1 => clients[at].send(&format!("422[\"leave\",\"{room}\"]")),
        2 => clients[at].send("423[\"echo\",1,[2]]"),
        3 => clients[at].send("40/other,"),
        4 => clients[at].send(random.choice(["41", "41/other,"]).unwrap()),
        5 => io.broadcast().enter_room(sid, room).await.unwrap(),
        6 => io.broadcast().leave_room(sid, room).await.unwrap(),
        7 => io.broadcast().close_room(room).await.unwrap(),
        8 => io
            .to(room)
            .emit("news", &"x".repeat(random.usize(0..5_000)))
            .await
            .unwrap(),
        9 => io.of("/other").emit("news", &1).await.unwrap(),
        10 => io.broadcast().disconnect(sid).await.unwrap(),
        11 => match random.bool() {
            true => io.to(room).sockets_join(ROOMS).await.unwrap(),
            false => io.to(room).sockets_leave([room]).await.unwrap(),
        },
        12 => {
            let report = io.to(room).timeout(SHORT).emit_and_collect("question", &());
            asked.spawn(async move { drop(report.await.unwrap()) });
        }
        13 => {
            let sockets = io.to(room).timeout(SHORT).fetch_sockets();
            asked.spawn(async move { drop(sockets.await.unwrap()) });
        }
        _ => clients.swap_remove(at).end(random),
    }
}

async fn run(seed: u64) {
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
    let hosts = [Host::start(&url, &channel).await, Host::start(&url, &channel).await];
    for host in &hosts {
        let servers = host.io.servers(DEADLINE).await.unwrap();
        assert_eq!(servers.found.len(), 2, "the servers know each other");
    }
    let is_empty = || hosts.iter().all(|host| host.left() == [0; 5]);
    let least = settled(&hosts).await;

    let (mut clients, mut asked) = (Vec::new(), JoinSet::new());
    for _ in 0..STEPS {
        step(&hosts, &mut clients, &mut asked, &mut random).await;
    }
    let busy = hosts.each_ref().map(Host::num_tasks);
    assert!(
        busy.iter().sum::<usize>() > least.iter().sum(),
        "clients are tasks: {busy:?}, without: {least:?}"
    );
    for client in clients {
        client.end(&mut random);
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap();
    }
    eventually("sessions, clients, rooms and questions are gone", is_empty).await;
    eventually("the tasks of clients are gone", || {
        hosts.iter().zip(&least).all(|(host, &least)| host.num_tasks() <= least)
    })
    .await;
    for host in &hosts {
        let metrics = host.io.metrics();
        assert_eq!(
            (metrics.hub.undecodable, metrics.hub.panics, metrics.engine.panics),
            (0, 0, 0)
        );
        assert_eq!(
            (
                metrics.hub.callbacks_dropped,
                metrics.hub.answers_dropped,
                metrics.hub.gaps
            ),
            (0, 0, 0)
        );
    }

    for host in hosts {
        host.stop.send(()).unwrap();
        within("the server stops", host.served).await.unwrap();
        drop(host.io);
        let metrics = host.runtime.metrics();
        eventually("no task is left", || metrics.num_alive_tasks() == 0).await;
        // A runtime may not be dropped where others must not wait.
        host.runtime.shutdown_background();
    }
}

/// Returns how many tasks each server has, once that changes no more.
async fn settled(hosts: &[Host; 2]) -> [usize; 2] {
    let mut last = [0; 2];
    let mut same = 0;
    eventually("the number of tasks changes no more", || {
        let now = hosts.each_ref().map(Host::num_tasks);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 50
    })
    .await;
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_clients_after_random_scripts() {
    let seeds = match std::env::var("SIO_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("SIO_TEST_SEED is a number")],
        Err(_) => vec![1, 2, fastrand::u64(..)],
    };
    for seed in seeds {
        run(seed).await;
    }
}
