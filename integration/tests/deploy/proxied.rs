//! Servers behind nginx, HAProxy and Caddy.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use serde_json::json;

use super::front::{Config, Front, replaced};
use super::polling::Poller;
use super::{Program, caddy, echoes, haproxy, nginx, polls_and_upgrades, who};
use crate::support::http;

const HASH: Config = Config::Nginx(nginx::STICKY_HASH);
const COOKIE: Config = Config::Nginx(nginx::STICKY_COOKIE);
const SOURCE: Config = Config::HaProxy(haproxy::STICKY);
const ADDRESS: Config = Config::Caddy(caddy::STICKY);

/// Clients that poll: enough that both servers get some, regardless of the numbers of their ports.
const NUM_CLIENTS: u8 = 24;

/// The `Origin` of a page of another site.
const FOREIGN: &str = "http://shop.localhost:8080";

/// Two servers on one channel, behind one proxy.
struct Pair {
    one: Program,
    two: Program,
    front: Front,
}

impl Pair {
    async fn start(config: Config) -> Self {
        let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let variables = [("REDIS_URL", url.as_str()), ("CHANNEL", channel.as_str())];
        let one = Program::start_with("on_axum", &["127.0.0.1:0"], &variables).await;
        let two = Program::start_with("on_axum", &["127.0.0.1:0"], &variables).await;
        let places = [
            ("127.0.0.1:3001", one.address.as_str()),
            ("127.0.0.1:3002", two.address.as_str()),
        ];
        let front = Front::start(config, &places).await;
        Self { one, two, front }
    }

    /// Connects over one transport, or by the default way.
    async fn client(&self, transport: Option<&'static str>) -> RealClient {
        let options = ConnectOptions::to(&self.front.url());
        let options = match transport {
            Some(transport) => options.only(transport),
            None => options,
        };
        RealClient::connected(Kind::Node, &options).await
    }

    /// Opens a session by polling, or asks for a WebSocket, with more headers. Returns the answer's status and body.
    async fn ask(&self, from: Ipv4Addr, transport: &str, headers: &str) -> (u16, String) {
        let path = format!("/socket.io/?EIO=4&transport={transport}");
        let upgrade = match transport {
            "websocket" => WEBSOCKET,
            _ => "",
        };
        let headers = format!("{upgrade}{headers}");
        let response = http::request(from, self.front.address, "GET", &path, &headers, "").await;
        let response = response.unwrap();
        (response.status, response.body)
    }

    fn pids(&self) -> HashSet<u32> {
        HashSet::from([self.one.pid(), self.two.pid()])
    }

    /// Each client stays with its server, and both servers have clients.
    async fn divides(&self, mut address: impl FnMut(u8) -> Ipv4Addr, keeps_cookies: bool) {
        let mut seen = HashSet::new();
        for number in 0..NUM_CLIENTS {
            let connecting = Poller::connect(address(number), self.front.address, keeps_cookies);
            let mut client = connecting.await.expect("every request comes to the same server");
            let first = client.who().await.expect("the same server");
            for _ in 0..3 {
                assert_eq!(client.who().await, Ok(first));
            }
            seen.insert(first);
        }
        assert_eq!(seen, self.pids());
    }

    /// A client behind the proxy hears what the other server's clients say.
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

/// The headers of a WebSocket's request.
const WEBSOCKET: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Makes of each case one test behind each program that `docs/deploy.md` has a configuration for.
macro_rules! behind_each_proxy {
    ($($case:ident),* $(,)?) => {
        behind_each_proxy! { @ behind_nginx, super::HASH, $($case),* }
        behind_each_proxy! { @ behind_haproxy, super::SOURCE, $($case),* }
        behind_each_proxy! { @ behind_caddy, super::ADDRESS, $($case),* }
    };
    (@ $module:ident, $config:expr, $($case:ident),*) => {
        mod $module {
            $(#[tokio::test]
            async fn $case() {
                super::$case($config).await;
            })*
        }
    };
}

behind_each_proxy! {
    by_hash_each_address_stays_with_its_server,
    clients_talk_over_each_transport_and_both_servers_are_one,
    pages_of_the_proxy_are_accepted_and_others_refused,
    the_address_of_a_client_is_the_last_that_the_proxy_names,
    clients_of_a_server_that_ends_go_on_at_the_other,
}

async fn by_hash_each_address_stays_with_its_server(config: Config) {
    let pair = Pair::start(config).await;
    pair.divides(|number| Ipv4Addr::new(127, 0, 1, number + 1), false).await;
}

async fn clients_talk_over_each_transport_and_both_servers_are_one(config: Config) {
    let pair = Pair::start(config).await;
    let mut client = RealClient::spawn(Kind::Node).await;
    polls_and_upgrades(&mut client, &pair.front.url()).await;
    pair.is_one(&mut client).await;
    for transport in ["polling", "websocket"] {
        let mut client = pair.client(Some(transport)).await;
        echoes(&mut client).await;
        pair.is_one(&mut client).await;
    }
}

async fn pages_of_the_proxy_are_accepted_and_others_refused(config: Config) {
    let pair = Pair::start(config).await;
    let url = pair.front.url();
    let mut page = RealClient::spawn(Kind::Browser).await;
    polls_and_upgrades(&mut page, &url).await;

    let mut options = ConnectOptions::to(&url);
    options.page = Some(format!("{FOREIGN}/index.html"));
    for transport in ["polling", "websocket"] {
        let mut page = RealClient::spawn(Kind::Browser).await;
        let connected = page.connect(&options.clone().only(transport)).await;
        assert!(connected.is_err(), "a page of {FOREIGN} came in by {transport}");
        // The same origin over TLS is another one. Proxies tell what they saw, not what the client says of itself.
        let invented = format!(
            "origin: {}\r\nx-forwarded-proto: https\r\n",
            url.replace("http:", "https:")
        );
        for foreign in [format!("origin: {FOREIGN}\r\n"), invented] {
            let (status, body) = pair.ask(Ipv4Addr::LOCALHOST, transport, &foreign).await;
            assert_eq!(status, 400, "{foreign} by {transport}: {body}");
            assert!(body.contains("Not an accepted origin"), "{body}");
        }
    }
    let (status, body) = pair
        .ask(Ipv4Addr::LOCALHOST, "polling", &format!("origin: {url}\r\n"))
        .await;
    assert_eq!(status, 200, "{body}");
}

async fn the_address_of_a_client_is_the_last_that_the_proxy_names(config: Config) {
    names_the_client(config).await;
}

/// The server learns the client's real address, regardless of what the client claims.
async fn names_the_client(config: Config) {
    let pair = Pair::start(config).await;
    for said in [
        "",
        "x-forwarded-for: 203.0.113.9\r\n",
        "x-forwarded-for: 203.0.113.9, 203.0.113.10\r\n",
    ] {
        let from = Ipv4Addr::new(127, 0, 1, 77);
        let mut client = Poller::connect_saying(from, pair.front.address, said).await.unwrap();
        assert_eq!(
            client.ask("forwarded").await.unwrap(),
            format!("[\"{from}\"]"),
            "after {said:?}"
        );
    }
    for transport in ["polling", "websocket"] {
        let mut options = ConnectOptions::to(&pair.front.url()).only(transport);
        options
            .headers
            .insert("x-forwarded-for".to_owned(), "203.0.113.9".to_owned());
        let mut client = RealClient::connected(Kind::Node, &options).await;
        let answer = client.emit_with_ack("forwarded", json!([]), DEADLINE).await;
        assert_eq!(answer, Some(vec![json!("127.0.0.1")]), "by {transport}");
    }
}

/// `option forwardfor` adds a line to those that the client sent.
#[tokio::test]
async fn a_proxy_that_adds_a_line_of_its_own_names_the_client_in_the_last() {
    let adds = replaced(
        haproxy::STICKY,
        "http-request set-header X-Forwarded-For %[src]",
        "option forwardfor",
    );
    names_the_client(Config::HaProxy(adds.leak())).await;
}

async fn clients_of_a_server_that_ends_go_on_at_the_other(config: Config) {
    let pair = Pair::start(config).await;
    let mut options = ConnectOptions::to(&pair.front.url());
    options.reconnect = true;
    let mut client = RealClient::connected(Kind::Node, &options).await;
    client.upgraded_to("websocket").await;
    let at = who(&mut client).await;
    let Pair { one, two, front } = pair;
    let (its, other) = if at == one.pid() { (one, two) } else { (two, one) };
    its.stop().await;
    client.disconnected(DEADLINE).await;
    client
        .driven()
        .until(DEADLINE, |event| event["event"] == "connect")
        .await;
    assert_eq!(who(&mut client).await, other.pid());
    drop(front);
}

#[tokio::test]
async fn by_cookie_each_browser_stays_with_its_server_though_all_have_one_address() {
    let pair = Pair::start(COOKIE).await;
    pair.divides(|_| Ipv4Addr::LOCALHOST, true).await;
    let mut client = RealClient::spawn(Kind::Browser).await;
    polls_and_upgrades(&mut client, &pair.front.url()).await;
    pair.is_one(&mut client).await;
}

#[tokio::test]
async fn by_cookie_a_client_without_cookies_must_begin_with_a_websocket() {
    let pair = Pair::start(COOKIE).await;
    let mut refused = 0;
    for _ in 0..NUM_CLIENTS {
        let connecting = Poller::connect(Ipv4Addr::LOCALHOST, pair.front.address, false);
        refused += usize::from(matches!(connecting.await, Err(400)));
    }
    assert!(refused > 0, "polls went to servers that do not know them");
    let options = ConnectOptions::to(&pair.front.url()).only("websocket");
    let mut client = RealClient::connected(Kind::Node, &options).await;
    pair.is_one(&mut client).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.sock");
    let path = path.to_str().unwrap();
    let program = Program::start_with("on_unix_socket", &[path], &[]).await;
    let front = Front::start(Config::Nginx(nginx::UNIX_SOCKET), &[("/run/chat/chat.sock", path)]).await;
    let mut client = RealClient::spawn(Kind::Node).await;
    polls_and_upgrades(&mut client, &front.url()).await;
    echoes(&mut client).await;
    program.stop().await;
    client.disconnected(DEADLINE).await;
}

#[test]
fn the_guide_shows_the_files_that_are_tested() {
    let guide = include_str!("../../../docs/deploy.md");
    let files = [
        nginx::STICKY_HASH,
        nginx::STICKY_COOKIE,
        nginx::UNIX_SOCKET,
        haproxy::STICKY,
        haproxy::ROLLING,
    ];
    for file in files {
        assert!(guide.contains(file), "docs/deploy.md lacks, or has changed:\n{file}");
    }
}
