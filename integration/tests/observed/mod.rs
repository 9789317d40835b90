//! Metrics, health and traces, as an operator's tools see them.

mod access;
mod health;
mod limits;
mod metrics;
mod traces;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};

use gateway::admin::{self, AdminService};
use gateway::health::Health;
use tokio::net::TcpListener;

use crate::support::http::{Response, request};

/// Serves metrics and health on an address of their own, until the test ends.
async fn serve(health: &Health) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(admin::serve(
        listener,
        AdminService::new(health),
        std::future::pending(),
    ));
    address
}

async fn get(address: SocketAddr, path: &str) -> Response {
    request(Ipv4Addr::LOCALHOST, address, "GET", path, "", "")
        .await
        .unwrap()
}
