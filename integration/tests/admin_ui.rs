//! The official Admin UI in Chromium, connected to two servers on one Redis.

use std::time::Duration;

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::driven::Driven;
use integration::{DEADLINE, app, managers, tools};
use serde_json::{Value, json};
use socket_io::SocketIo;
use socket_io::admin::Admin;
use socket_io::static_files::StaticFiles;
use tokio::net::TcpListener;

use crate::support::within;

/// A server that is instrumented and serves the Admin UI. It ends with the test.
struct Host {
    io: SocketIo,
    url: String,
}

impl Host {
    async fn start(broker: &str, channel: &str, name: &str) -> Self {
        let admin = Admin::password("admin", "secret").server_id(name);
        let manager = managers::on_channel(broker, channel);
        let io = SocketIo::builder().manager(manager).instrument(admin).build();
        app::register(&io);
        within("the subscription", io.ready()).await;
        let page = tools::node_modules().join("@socket.io/admin-ui/ui/dist");
        let files = StaticFiles::new().dir("/admin-ui", page).service();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(socket_io::service::serve_with(
            listener,
            io.clone(),
            files,
            std::future::pending(),
        ));
        Self { io, url }
    }
}

/// The page.
struct Page(Driven);

impl Page {
    async fn open(host: &Host) -> Self {
        let mut page = Self(Driven::node("admin_ui.js", &[&tools::chromium()]));
        page.call(json!({"cmd": "open", "url": format!("{}/admin-ui/", host.url)}))
            .await;
        page
    }

    async fn call(&mut self, command: Value) -> Value {
        self.0.call(command).await
    }

    async fn log_in(&mut self, host: &Host, password: &str) {
        let login = json!({"cmd": "login", "server": host.url, "username": "admin", "password": password});
        self.call(login).await;
    }

    async fn shows(&mut self, text: &str) {
        // So that the page can say what it shows instead.
        let timeout = u64::try_from(DEADLINE.as_millis()).unwrap() * 3 / 4;
        self.call(json!({"cmd": "shows", "text": text, "timeout": timeout}))
            .await;
    }

    async fn follow(&mut self, href: &str) {
        self.call(json!({"cmd": "follow", "href": href})).await;
    }
}

async fn join(client: &mut RealClient, room: &str) {
    let joined = client.emit_with_ack("join", json!([room]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!(true)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_admin_ui_sees_and_moves_the_clients_of_all_servers() {
    let (broker, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
    let one = Host::start(&broker, &channel, "server-one").await;
    let two = Host::start(&broker, &channel, "server-two").await;
    crate::support::eventually("the servers know each other", || one.io.metrics().hub.servers == 1).await;
    let mut before = RealClient::connected(Kind::Node, &ConnectOptions::to(&two.url)).await;
    join(&mut before, "lobby").await;

    let mut page = Page::open(&one).await;
    page.log_in(&one, "wrong").await;
    page.shows("Invalid credentials").await;
    page.log_in(&one, "secret").await;
    page.shows("Status: connected").await;
    page.follow("#/servers").await;
    page.shows("server-one").await;
    page.shows("server-two").await;

    // Clients of the other server: those connected before, and new ones.
    let mut after = RealClient::connected(Kind::Python, &ConnectOptions::to(&two.url)).await;
    join(&mut after, "attic").await;
    page.follow("#/rooms").await;
    page.shows("lobby").await;
    page.shows("attic").await;
    page.follow("#/events").await;
    page.shows("Event received").await;

    // A reloaded page asks for no password.
    page.call(json!({"cmd": "reload"})).await;
    page.shows("Status: connected").await;
    page.follow("#/rooms").await;
    page.shows("lobby").await;

    page.call(json!({"cmd": "disconnect_room", "room": "lobby"})).await;
    before.disconnected(DEADLINE).await;
    let lobby = || two.io.to("lobby").timeout(Duration::from_secs(1)).count_sockets();
    assert_eq!(lobby().await.unwrap().found, 0);
}
