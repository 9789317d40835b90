//! Servers behind nginx.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use serde_json::json;

use super::nginx::{Nginx, STICKY_COOKIE, STICKY_HASH, UNIX_SOCKET};
use super::polling::Poller;
use super::{Program, echoes, polls_and_upgrades, who};

/// Clients that poll: enough that both servers get some, whatever the numbers of their ports.
const NUM_CLIENTS: u8 = 24;

/// Two servers on one channel, behind one nginx.
struct Pair {
    one: Program,
    two: Program,
    nginx: Nginx,
}

impl Pair {
    async fn start(site: &str) -> Self {
        let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let variables = [("REDIS_URL", url.as_str()), ("CHANNEL", channel.as_str())];
        let one = Program::start_with("on_axum", &["127.0.0.1:0"], &variables).await;
        let two = Program::start_with("on_axum", &["127.0.0.1:0"], &variables).await;
        let places = [
            ("127.0.0.1:3001", one.address.as_str()),
            ("127.0.0.1:3002", two.address.as_str()),
        ];
        let nginx = Nginx::start(site, &places).await;
        Self { one, two, nginx }
    }

    fn pids(&self) -> HashSet<u32> {
        HashSet::from([self.one.pid(), self.two.pid()])
    }

    /// Each client stays with its server, and both servers have clients.
    async fn divides(&self, mut address: impl FnMut(u8) -> Ipv4Addr, keeps_cookies: bool) {
        let mut seen = HashSet::new();
        for number in 0..NUM_CLIENTS {
            let connecting = Poller::connect(address(number), self.nginx.address, keeps_cookies);
            let mut client = connecting.await.expect("every request comes to the same server");
            let first = client.who().await.expect("the same server");
            for _ in 0..3 {
                assert_eq!(client.who().await, Ok(first));
            }
            seen.insert(first);
        }
        assert_eq!(seen, self.pids());
    }

    /// A client behind nginx hears what the other server's clients say.
    async fn is_one(&self, client: &mut RealClient) {
        let joined = client.emit_with_ack("join", json!(["lobby"]), DEADLINE).await;
        assert_eq!(joined, Some(vec![json!(true)]));
        let at = who(client).await;
        let other = if at == self.one.pid() { &self.two } else { &self.one };
        let mut speaker = RealClient::connected(Kind::Node, &ConnectOptions::to(&other.url())).await;
        speaker.emit("say", json!(["lobby", "good evening"])).await;
        assert_eq!(client.next_message(DEADLINE).await.args, [json!("good evening")]);
    }
}

#[tokio::test]
async fn by_hash_each_address_stays_with_its_server() {
    let pair = Pair::start(STICKY_HASH).await;
    pair.divides(|number| Ipv4Addr::new(127, 0, 1, number + 1), false).await;
    let mut client = RealClient::spawn(Kind::Node).await;
    polls_and_upgrades(&mut client, &pair.nginx.url()).await;
    pair.is_one(&mut client).await;
}

#[tokio::test]
async fn by_cookie_each_browser_stays_with_its_server_though_all_have_one_address() {
    let pair = Pair::start(STICKY_COOKIE).await;
    pair.divides(|_| Ipv4Addr::LOCALHOST, true).await;
    let mut client = RealClient::spawn(Kind::Browser).await;
    polls_and_upgrades(&mut client, &pair.nginx.url()).await;
    pair.is_one(&mut client).await;
}

#[tokio::test]
async fn by_cookie_a_client_without_cookies_must_begin_with_a_websocket() {
    let pair = Pair::start(STICKY_COOKIE).await;
    let mut refused = 0;
    for _ in 0..NUM_CLIENTS {
        let connecting = Poller::connect(Ipv4Addr::LOCALHOST, pair.nginx.address, false);
        refused += usize::from(matches!(connecting.await, Err(400)));
    }
    assert!(refused > 0, "polls went to servers that do not know them");
    let options = ConnectOptions::to(&pair.nginx.url()).only("websocket");
    let mut client = RealClient::connected(Kind::Node, &options).await;
    pair.is_one(&mut client).await;
}

#[tokio::test]
async fn clients_of_a_server_that_ends_go_on_at_the_other() {
    let pair = Pair::start(STICKY_HASH).await;
    let mut options = ConnectOptions::to(&pair.nginx.url());
    options.reconnect = true;
    let mut client = RealClient::connected(Kind::Node, &options).await;
    client.upgraded_to("websocket").await;
    let at = who(&mut client).await;
    let Pair { one, two, nginx } = pair;
    let (its, other) = if at == one.pid() { (one, two) } else { (two, one) };
    its.stop().await;
    client.disconnected(DEADLINE).await;
    client
        .driven()
        .until(DEADLINE, |event| event["event"] == "connect")
        .await;
    assert_eq!(who(&mut client).await, other.pid());
    drop(nginx);
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.sock");
    let path = path.to_str().unwrap();
    let program = Program::start_with("on_unix_socket", &[path], &[]).await;
    let nginx = Nginx::start(UNIX_SOCKET, &[("/run/chat/chat.sock", path)]).await;
    let mut client = RealClient::spawn(Kind::Node).await;
    polls_and_upgrades(&mut client, &nginx.url()).await;
    echoes(&mut client).await;
    program.stop().await;
    client.disconnected(DEADLINE).await;
}

#[test]
fn the_guide_shows_the_files_that_are_tested() {
    let guide = include_str!("../../../docs/deploy.md");
    for file in [STICKY_HASH, STICKY_COOKIE, UNIX_SOCKET] {
        assert!(guide.contains(file), "docs/deploy.md lacks, or has changed:\n{file}");
    }
}
