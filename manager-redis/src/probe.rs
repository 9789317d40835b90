//! Probes of what a server speaks, where a connection only ends or stalls: TLS, or Redis' protocol without it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use manager_api::backend::dial;
use manager_api::backend::tls::is_tls_alert;
use manager_api::backend::url::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The duration of a TLS handshake without a response after which the server is probed, and the limit of a probe.
pub(crate) const DOUBT: Duration = Duration::from_millis(500);

/// Returns whether the server speaks TLS: it responds with an alert to a greeting that is too short.
pub(crate) async fn speaks_tls(node: &Address) -> io::Result<bool> {
    const GREETING: &[u8] = &[22, 3, 1, 0, 4, 1, 0, 0, 0];
    let probed = async {
        let mut stream = dial::connect(&node.host, node.port).await?;
        stream.write_all(GREETING).await?;
        let mut response = [0; 2];
        stream.read_exact(&mut response).await?;
        Ok(is_tls_alert(&response))
    };
    timeout(DOUBT, probed).await?
}

/// Returns whether the server responds without TLS. The caller limits the duration.
pub(crate) async fn is_plain(peer: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(peer).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut first = [0];
    stream.read_exact(&mut first).await?;
    Ok(matches!(first, [b'+' | b'-']))
}
