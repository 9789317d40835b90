//! The command lines of `serve` and `demo`, with the feature `serve`.

use std::num::NonZeroU64;

use super::examples::{DEMO_EXAMPLES, SERVE_EXAMPLES};
use super::values::num_deliveries;

/// Run a ready-made server whose clients join rooms and get what is emitted into them
#[derive(Debug, clap::Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The address to serve HTTP on: HOST:PORT, or a port of 127.0.0.1
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000", value_parser = listen_addr)]
    pub(crate) listen: ListenAddr,
    /// The broker; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE. Without any of them, an embedded broker for
    /// this machine is started on 127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share; also SIO_CHANNEL. Default socketio
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// A further namespace with rooms to join, beside `/`; may be repeated
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Vec<String>,
    /// A further origin whose pages may connect, such as https://app.example; `*` for all; may be repeated. The server's own page always may
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Vec<String>,
}

/// See it work: server, broker, client and emitter in one process, over real connections
#[derive(Debug, clap::Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// End after N deliveries
    #[arg(long, value_name = "N", value_parser = num_deliveries)]
    pub(crate) count: Option<NonZeroU64>,
}

/// Where to listen; the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAddr {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Reads `HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `PORT`; without a host it is this machine's own address, never one that others reach.
fn listen_addr(text: &str) -> Result<ListenAddr, String> {
    let expected =
        || "expected HOST:PORT or PORT, such as 127.0.0.1:3000, localhost:3000, [::1]:3000 or 3000".to_owned();
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse().map_err(|_| expected())?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(expected)?,
        None if host.contains(':') => return Err(expected()),
        None if host.is_empty() => "127.0.0.1",
        None => host,
    };
    let host = host.to_owned();
    Ok(ListenAddr { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_may_be_a_name_or_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:3000", "127.0.0.1", 3000),
            ("localhost:3000", "localhost", 3000),
            (":3000", "127.0.0.1", 3000),
            ("3000", "127.0.0.1", 3000),
            ("0.0.0.0:0", "0.0.0.0", 0),
            ("[::1]:80", "::1", 80),
        ] {
            let host = host.to_owned();
            assert_eq!(listen_addr(text), Ok(ListenAddr { host, port }), "{text}");
        }
        for bad in [
            "",
            "nowhere",
            "localhost:",
            "::1:80",
            "[::1]",
            "[::1:80",
            "h:70000",
            "http://h:80",
        ] {
            assert!(listen_addr(bad).unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }
}
