//! The chat, replaced by a new version of itself without a refused connection: `graceful_restart ADDRESS`.
//!
//! Start the new process on the same address, wait until it says that it listens, then send SIGTERM to the old one: it accepts no more,
//! disconnects its clients, waits for their handlers and ends. Clients connect again by themselves, and find the new process.

use examples::Failure;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = examples::chat()?;
    let listener = shared_listener(&examples::address())?;
    let stopped = examples::stopped();
    io.ready().await;
    examples::announce(listener.local_addr()?);
    siokit::serve(listener, io, stopped).await?;
    Ok(())
}

/// Listens where another process of the same user may be listening already; the system divides new connections among them.
#[cfg(unix)]
fn shared_listener(address: &str) -> Result<TcpListener, Failure> {
    use std::net::SocketAddr;
    use tokio::net::TcpSocket;

    let address: SocketAddr = address.parse()?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket.listen(1024)?)
}

#[cfg(not(unix))]
fn shared_listener(_: &str) -> Result<TcpListener, Failure> {
    Err("an address cannot be shared on this system".into())
}
