//! Two servers with a client each, and workers that reach the broker through a proxy.

use std::time::Duration;

use futures_util::future::BoxFuture;
use integration::brokers::{Flavour, KafkaBroker, PostgresBroker, RabbitBroker, RedisBroker, unique_channel};
use integration::managers;
use integration::proxy::TcpProxy;
use manager_api::{Emitter, Error, ManagerOptions};
use socket_io::SocketIo;
use tokio::task::JoinHandle;

use crate::support::{Client, Server, within};

/// The room of the clients.
const ROOM: &str = "room";

/// A broker, and a proxy before it.
pub(super) struct Line {
    /// For servers.
    pub(super) url: String,
    /// For workers: through the proxy.
    pub(super) through: String,
    pub(super) proxy: TcpProxy,
    /// A broker that tells its clients where to connect belongs to one test.
    own: Option<KafkaBroker>,
}

impl Line {
    pub(super) async fn redis() -> Self {
        Self::before(RedisBroker::shared().await.url()).await
    }

    pub(super) async fn rabbitmq() -> Self {
        Self::before(RabbitBroker::shared().await.url()).await
    }

    pub(super) async fn postgres() -> Self {
        Self::before(PostgresBroker::shared().await.url()).await
    }

    pub(super) async fn kafka() -> Self {
        let own = KafkaBroker::try_start().await.unwrap_or_else(|why| panic!("{why}"));
        let (proxy, through) = own.line().await.expect("it has an address for a proxy");
        Self {
            url: own.url(),
            through,
            proxy,
            own: Some(own),
        }
    }

    async fn before(url: &str) -> Self {
        let (proxy, through) = TcpProxy::before(url).await;
        Self {
            url: url.to_owned(),
            through,
            proxy,
            own: None,
        }
    }

    /// Whether the manager sends a message again whose answer was lost, so that the broker drops it: Kafka's.
    pub(super) fn repeats_by_itself(&self) -> bool {
        self.own.is_some()
    }
}

/// Two servers on a channel, and a client on each.
pub(super) struct Fleet {
    pub(super) line: Line,
    pub(super) channel: String,
    servers: [Server; 2],
    clients: [Client; 2],
}

impl Fleet {
    pub(super) async fn start(line: Line) -> Self {
        let channel = unique_channel();
        let server = async || {
            let manager = managers::on_channel(&line.url, &channel);
            Server::start(SocketIo::builder().manager(manager)).await
        };
        let servers = [server().await, server().await];
        let client = |server: &Server| Client::connect(server.address, &[ROOM]);
        let (one, two) = (client(&servers[0]).await, client(&servers[1]).await);
        Self {
            line,
            channel,
            servers,
            clients: [one, two],
        }
    }

    /// Makes a worker that is connected, through the proxy.
    pub(super) async fn worker(&self) -> Emitter {
        let options = ManagerOptions {
            channel: self.channel.clone(),
            backoff_base: Duration::from_millis(10),
            backoff_cap: Duration::from_millis(100),
            ..ManagerOptions::default()
        };
        let emitter = Emitter::new(managers::manager(&self.line.through, options));
        emitter.to("another room").emit("connects", &()).await.unwrap();
        emitter
    }

    /// Emits the event with a number, and a key that says so.
    pub(super) fn keyed(&self, emitter: &Emitter, number: u64) -> BoxFuture<'static, Result<(), Error>> {
        let keyed = emitter.to(ROOM).idempotency_key(format!("job-{number}"));
        keyed.emit("done", &number)
    }

    /// Begins to emit the event with a number. The broker has taken it and passed it to the servers, and its answer does
    /// not arrive.
    pub(super) async fn emit_unanswered(&mut self, emitter: &Emitter, number: u64) -> JoinHandle<Result<(), Error>> {
        self.line.proxy.mute();
        let mut emitting = tokio::spawn(self.keyed(emitter, number));
        tokio::select! {
            ended = &mut emitting => panic!("{number}: it ended without an answer: {ended:?}"),
            () = self.expect_on_first(number) => {}
        }
        assert!(!emitting.is_finished(), "no answer can have come");
        emitting
    }

    /// Breaks the connections of all workers, and permits new ones.
    pub(super) async fn break_off(&self) {
        within("the cut", self.line.proxy.cut()).await;
        self.line.proxy.restore();
    }

    pub(super) async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        within("an answer", future).await
    }

    /// The next event of the client on the first server must be this.
    pub(super) async fn expect_on_first(&mut self, number: u64) {
        assert_eq!(
            self.clients[0].event::<(u64,)>("done").await,
            (number,),
            "on the first server"
        );
    }

    /// The next event of the client on the second server must be this.
    pub(super) async fn expect_on_second(&mut self, number: u64) {
        assert_eq!(
            self.clients[1].event::<(u64,)>("done").await,
            (number,),
            "on the second server"
        );
    }

    /// Checks that no client has another event; returns how many repeats each server has dropped.
    pub(super) async fn end(&mut self, emitter: &Emitter) -> [u64; 2] {
        emitter.to(ROOM).emit("end", &()).await.unwrap();
        for client in &mut self.clients {
            assert_eq!(client.packet().await, "42[\"end\"]");
        }
        let hubs = self.servers.each_ref().map(|server| server.io.metrics().hub);
        for hub in &hubs {
            assert_eq!((hub.gaps, hub.idempotency_keys_evicted, hub.undecodable), (0, 0, 0));
        }
        hubs.map(|hub| hub.repeats)
    }
}
