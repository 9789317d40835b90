//! The server of a client: its URL, and the way to it.

use std::fmt;
use std::path::PathBuf;

use manager_api::backend::tls::{self, Tls};
use manager_api::backend::url::{self, Address};
use manager_api::backend::{TlsOptions, dial};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, handshake::client::Request};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::failure::Failure;
use crate::output::printable;

/// The schemes of URLs of servers. The first two are those of the others in a browser.
const SCHEMES: &[&str] = &["http", "https", "ws", "wss"];
/// The largest message that is received, in bytes.
const MAX_MESSAGE: usize = 64 << 20;
/// The characters of a server's refusal that are shown.
const MAX_SHOWN: usize = 300;

/// A connection, encrypted or not.
pub(super) type Stream = Box<dyn Duplex>;

/// A socket of any kind.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The address of a server, and the request by which a connection is opened. Shown without its query, which may hold a secret.
#[derive(Clone)]
pub(crate) struct Target {
    address: Address,
    tls: Option<Tls>,
    request: Request,
    shown: String,
}

impl Target {
    /// Reads a URL. `path` is that of the server's Socket.IO, `ca` a file with authorities to trust instead of the system's, and `headers`
    /// are lines `Name: value`.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] for what cannot be used. No query, user or value of a header is repeated.
    pub(crate) fn parse(url: &str, path: &str, ca: Option<PathBuf>, headers: &[String]) -> Result<Self, Failure> {
        let unusable = |error: manager_api::Error| Failure::input(error.to_string());
        let parts = url::parts(url, SCHEMES).map_err(unusable)?;
        if !parts.userinfo.is_empty() {
            return Err(Failure::input(
                "the URL has a user: pass it as --header 'Authorization: Basic …', or the token as --auth",
            ));
        }
        if !matches!(parts.path, "" | "/") {
            return Err(Failure::input(
                "the URL has a path: name the namespace by -n, and where the server has its Socket.IO by --path",
            ));
        }
        let has_tls = matches!(parts.scheme, "https" | "wss");
        if ca.is_some() && !has_tls {
            return Err(Failure::input("--ca needs a URL with TLS: https:// or wss://"));
        }
        let default_port = if has_tls { 443 } else { 80 };
        let address = Address::parse(parts.hosts, default_port).map_err(unusable)?;
        let options = TlsOptions {
            ca_file: ca,
            ..TlsOptions::default()
        };
        let tls = match has_tls {
            true => Some(Tls::new(&options).map_err(|error| Failure::Input(anyhow::Error::new(error)))?),
            false => None,
        };
        let query: String = parts
            .parameters()
            .map(|(name, value)| format!("&{name}={value}"))
            .collect();
        let scheme = if has_tls { "wss" } else { "ws" };
        let path = match path.trim_matches('/') {
            "" => "/".to_owned(),
            path => format!("/{path}/"),
        };
        let text = format!("{scheme}://{address}{path}?EIO=4&transport=websocket{query}");
        Ok(Self {
            request: request(&text, headers)?,
            shown: format!("{}://{address}", parts.scheme),
            address,
            tls,
        })
    }

    /// Connects, and opens a WebSocket. The caller limits the time that this may take.
    pub(super) async fn open(&self) -> Result<WebSocketStream<Stream>, Failure> {
        let Address { host, port } = &self.address;
        let stream = dial::connect(host, *port).await.map_err(|error| self.failed(&error))?;
        let stream: Stream = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(tls.name_of(host).to_owned());
                let name =
                    name.map_err(|_| Failure::input(format!("{self} has a host that no certificate can name")))?;
                let connected = TlsConnector::from(tls.config()).connect(name, stream).await;
                Box::new(connected.map_err(|error| self.failed(&error))?)
            }
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        match client_async_with_config(self.request.clone(), stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(error) => Err(Failure::broker(format!(
                "cannot connect to {self}: {}",
                refusal(&error)
            ))),
        }
    }

    /// The failure of a socket, that of TLS included.
    fn failed(&self, error: &std::io::Error) -> Failure {
        // It is about brokers elsewhere.
        let text = tls::explained(error).1.replace("the broker's", "the server's");
        Failure::broker(format!("cannot connect to {self}: {text}"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes the request for a WebSocket.
fn request(url: &str, headers: &[String]) -> Result<Request, Failure> {
    let request = url.into_client_request();
    // Its text may hold a secret of the query.
    let mut request =
        request.map_err(|_| Failure::input("the URL or --path has characters that have to be percent-encoded"))?;
    for (number, header) in (1..).zip(headers) {
        let parsed = header.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let value: HeaderValue = value.trim().parse().ok()?;
            Some((name, value))
        });
        let Some((name, value)) = parsed else {
            return Err(Failure::input(format!(
                "--header number {number} is not of the form 'Name: value'"
            )));
        };
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// What a failed handshake means: the status of an HTTP response, and what its body says.
fn refusal(error: &tungstenite::Error) -> String {
    let tungstenite::Error::Http(response) = error else {
        return error.to_string();
    };
    let body = response.body().as_deref().unwrap_or_default();
    let said: String = String::from_utf8_lossy(body).chars().take(MAX_SHOWN).collect();
    let separator = if said.is_empty() { "" } else { ": " };
    format!(
        "the server responded {}{separator}{}",
        response.status(),
        printable(said.trim())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_of(url: &str, path: &str) -> String {
        let target = Target::parse(url, path, None, &["X-Test: a b".to_owned()]).unwrap();
        assert_eq!(target.request.headers()["x-test"], "a b");
        target.request.uri().to_string()
    }

    #[test]
    fn a_url_of_any_scheme_becomes_the_request_for_a_websocket() {
        let engine = "EIO=4&transport=websocket";
        for (url, path, request) in [
            ("http://h", "/socket.io/", format!("ws://h:80/socket.io/?{engine}")),
            ("ws://h:3000/", "socket.io", format!("ws://h:3000/socket.io/?{engine}")),
            (
                "http://[::1]:1?token=a%20b&x",
                "/a/b",
                format!("ws://[::1]:1/a/b/?{engine}&token=a%20b&x="),
            ),
            ("HTTP://h:1", "/", format!("ws://h:1/?{engine}")),
        ] {
            assert_eq!(request_of(url, path), request);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_secrets() {
        for (url, headers, text) in [
            ("h:3000", &[][..], "no scheme"),
            ("redis://h", &[], "http, https, ws, wss"),
            ("http://me:s3cret@h", &[], "--header"),
            ("http://h/chat?token=s3cret", &[], "-n"),
            ("http://h?token=s3cret#x", &[], "%23"),
            ("http://h?token=s3cret x", &[], "percent-encoded"),
            ("http://h:0", &[], "port"),
            ("http://h", &["s3cret"], "number 1"),
            ("http://h", &["A: b", "B\u{e4}: s3cret"], "number 2"),
        ] {
            let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
            let failure = Target::parse(url, "/socket.io/", None, &headers).unwrap_err();
            let said = failure.to_string();
            assert_eq!(failure.code(), 2, "{said}");
            assert!(said.contains(text) && !said.contains("s3cret"), "{url}: {said}");
        }
        let with_ca = Target::parse("http://h", "", Some("/ca.pem".into()), &[]).unwrap_err();
        assert!(with_ca.to_string().contains("https://"), "{with_ca}");
    }
}
