//! Servers in this process and in others, and a client that reads their packets.

pub(crate) mod client;
pub(crate) mod http;
pub(crate) mod node;
pub(crate) mod placed;
pub(crate) mod program;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use integration::{DEADLINE, app};
use manager_api::{ClientManager, ErrorKind};
use socket_io::{SocketIo, SocketIoBuilder};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

pub(crate) use client::{Client, Numbered, Reader};
pub(crate) use node::Node;

/// Makes of each case, which takes a URL, one test on each broker that all tests share.
macro_rules! on_every_broker {
    ($($case:ident),* $(,)?) => {
        $crate::support::on_every_broker! { @on redis RedisBroker: $($case),* }
        $crate::support::on_every_broker! { @on amqp RabbitBroker: $($case),* }
        $crate::support::on_every_broker! { @on kafka KafkaBroker: $($case),* }
        $crate::support::on_every_broker! { @on postgres PostgresBroker: $($case),* }
    };
    (@on $module:ident $broker:ident: $($case:ident),*) => {
        mod $module {
            use integration::brokers::$broker;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($broker::shared().await.url()).await;
            })*
        }
    };
}
pub(crate) use on_every_broker;

/// Completes `future`, which is bound to happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Waits until `condition` holds, for what gives no sign of its own.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// A server of ours in this process, which ends with the test.
pub(crate) struct Server {
    pub(crate) io: SocketIo,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server; returns once it hears the others.
    pub(crate) async fn start(builder: SocketIoBuilder) -> Self {
        let io = builder.build();
        app::register(&io);
        within("the subscription", io.ready()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(socket_io::serve(listener, io.clone(), std::future::pending()));
        Self { io, address }
    }

    /// Waits until no client is connected, and checks that nothing is left of the former ones.
    pub(crate) async fn expect_empty(&self) {
        let is_empty = || {
            let metrics = self.io.metrics();
            (metrics.engine.open_sessions, metrics.num_clients, metrics.num_rooms) == (0, 0, 0)
        };
        eventually("sessions, clients and rooms are gone", is_empty).await;
    }
}

/// Closes a manager that waits for a broker which is not there, and gives up: what it was about to listen to ends all the same.
pub(crate) async fn closes_while_it_waits(manager: &impl ClientManager) {
    const SHORT: Duration = Duration::from_millis(100);
    let mut publishing = manager.publish("x".into());
    let mut subscribing = manager.subscribe();
    assert!(timeout(SHORT, publishing.as_mut()).await.is_err());
    assert!(timeout(SHORT, subscribing.as_mut()).await.is_err());
    assert!(timeout(SHORT, manager.close()).await.is_err());
    let subscribed = within("the subscribe ends", subscribing).await;
    assert_eq!(subscribed.unwrap_err().kind(), ErrorKind::Closed);
}

/// Returns the text of `error` and of all its sources.
pub(crate) fn whole_text(error: &manager_api::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text += &format!(": {error} {error:?}");
        source = error.source();
    }
    text
}
