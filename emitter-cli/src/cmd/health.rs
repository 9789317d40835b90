//! `sio health`: a probe of the address for operators.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use gateway::health::{LIVE_PATH, READY_PATH};
use gateway::listen::Address;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::HealthArgs;
use crate::failure::Failure;
use crate::output;

/// The most that is read of a response, in bytes.
const MAX_BODY: usize = 4096;

pub(super) async fn run(args: HealthArgs) -> Result<(), Failure> {
    let Address::Tcp { host, port } = &args.address else {
        return Err(Failure::input("expected HOST:PORT, or a port of 127.0.0.1"));
    };
    let path = if args.live { LIVE_PATH } else { READY_PATH };
    let probed = timeout(args.timeout, probe(host, *port, path)).await;
    let (status, text) = probed.map_err(|_| silent(&args.address, args.timeout))??;
    output::print_line(&output::printable(text.trim_end()))?;
    match status {
        StatusCode::OK => Ok(()),
        status => Err(Failure::broker(format!("{}{path}: {status}", args.address))),
    }
}

fn silent(address: &Address, within: Duration) -> Failure {
    Failure::broker(format!("{address} did not respond within {within:?}"))
}

/// Requests a path, and returns the status and the text of the response.
async fn probe(host: &str, port: u16, path: &str) -> Result<(StatusCode, String), Failure> {
    let attempt = || format!("cannot ask {host}:{port}");
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(Failure::system(attempt()))?;
    let response = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    response.await.with_context(attempt).map_err(Failure::Broker)
}
