//! A minimal HTTP client: one connection for each request.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::within;

/// A response in parts.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request from an address of the caller's choice. `headers` are whole lines.
pub(crate) async fn request(
    from: Ipv4Addr,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<Response> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let mut stream = within("a connection", socket.connect(address)).await?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all((head + body).as_bytes()).await?;
    let mut response = Vec::new();
    within("a response", stream.read_to_end(&mut response)).await?;
    let response = String::from_utf8(response).map_err(io::Error::other)?;
    let Some((head, body)) = response.split_once("\r\n\r\n") else {
        return Err(io::Error::other(format!("cut off: {response:?}")));
    };
    Ok(Response {
        status: head[9..12].parse().map_err(io::Error::other)?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
