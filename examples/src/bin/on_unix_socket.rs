//! The chat on a Unix socket, for a proxy on the same machine: `on_unix_socket PATH`.
//!
//! Unix sockets have no peer address, so `PeerAddr` is absent; the proxy passes the client's address in `X-Forwarded-For`.

#[cfg(not(unix))]
fn main() {
    eprintln!("there are no Unix sockets here");
}

#[cfg(unix)]
#[tokio::main]
async fn main() -> Result<(), examples::Failure> {
    use hyper::server::conn::http1;
    use hyper_util::rt::TokioIo;
    use hyper_util::service::TowerToHyperService;
    use tokio::net::UnixListener;

    let path = examples::argument(1).ok_or("usage: on_unix_socket PATH")?;
    // A server that was killed leaves its socket behind. Any other server that listens there is replaced: start only one.
    if std::fs::exists(&path)? {
        std::fs::remove_file(&path)?;
    }
    let io = examples::chat()?;
    let listener = UnixListener::bind(&path)?;
    let mut stopped = std::pin::pin!(examples::stopped());
    io.ready().await;
    examples::announce(&path);
    loop {
        let (stream, _) = tokio::select! {
            accepted = examples::accepted(|| listener.accept()) => accepted,
            () = &mut stopped => break,
        };
        let service = TowerToHyperService::new(io.service());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(examples::paced(stream)), service);
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                examples::log(format_args!("a connection ended early: {error}"));
            }
        });
    }
    io.close().await?;
    std::fs::remove_file(&path)?;
    Ok(())
}
