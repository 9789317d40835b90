//! The chat over TLS, by rustls: `with_tls ADDRESS CERTIFICATE.pem KEY.pem`.

use std::sync::Arc;
use std::time::Duration;

use examples::Failure;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use siokit::SocketIo;
use siokit::server::service::{PeerAddr, Secure};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower::ServiceExt;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (Some(certificate), Some(key)) = (examples::argument(2), examples::argument(3)) else {
        return Err("usage: with_tls ADDRESS CERTIFICATE.pem KEY.pem".into());
    };
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()]; // what WebSockets are spoken over
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let io = examples::chat()?;
    let listener = TcpListener::bind(examples::address()).await?;
    let mut stopped = std::pin::pin!(examples::stopped());
    io.ready().await;
    examples::announce(listener.local_addr()?);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = examples::accepted(|| listener.accept()) => accepted,
            () = &mut stopped => break,
        };
        let (acceptor, io) = (acceptor.clone(), io.clone());
        // The handshake is the client's to delay: others do not wait for it.
        tokio::spawn(async move {
            if let Err(error) = connection(acceptor, stream, peer, io).await {
                examples::log(format_args!("a connection ended early: {error}"));
            }
        });
    }
    io.close().await?;
    Ok(())
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr, io: SocketIo) -> Result<(), Failure> {
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let chat = io.service();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        request.extensions_mut().insert(Secure);
        chat.clone().oneshot(request)
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(examples::paced(stream)), service);
    Ok(connection.with_upgrades().await?)
}
