//! Connections: opening, idling, closing.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::time::sleep;

use super::{AT_ONCE, Setup, Span, seconds};
use crate::load::{Crowd, connect_many};
use crate::process::resident_kib;
use crate::report::{Memory, Report};

/// The time after which memory that is given back has been given back.
const SETTLE: Duration = Duration::from_secs(3);

/// Opens WebSocket clients and leaves them idle.
#[derive(Clone, Debug, Args)]
pub struct Connect {
    /// Number of clients
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Handshakes at a time
    #[arg(long, default_value_t = AT_ONCE)]
    at_once: usize,
    /// Bytes of one event that every client gets before memory is looked at; none by default
    #[arg(long)]
    broadcast: Option<usize>,
    /// Seconds of idling, heartbeats included, over which processor time is measured instead of over the handshakes
    #[arg(long, value_parser = seconds)]
    hold: Option<Duration>,
}

impl Connect {
    pub(super) async fn run(&self, setup: &Setup) -> Result<Report> {
        let server = setup.processes.first().context("name the server with --process")?.id;
        let before = resident_kib(server)?;
        let span = Span::begin(setup, 0)?;
        let (mut clients, latency) = connect_many(&setup.target, self.clients, self.at_once).await?;
        let mut report = span.end(self.clients as u64)?;
        report.latency = latency.quantiles();
        if let Some(len) = self.broadcast {
            for client in &mut clients {
                client.call(r#"["join","r"]"#).await?;
            }
            clients[0]
                .send(format!(r#"42["publish","r",{len},1]"#).as_bytes())
                .await?;
            for client in &mut clients {
                client.wait_for(|packet| packet.starts_with(b"42[\"m\"")).await?;
            }
        }
        let mut crowd = Crowd::default();
        for mut client in clients {
            crowd.add(async move {
                loop {
                    client.receive(|_| {}).await?;
                }
            });
        }
        sleep(SETTLE).await;
        let idle = resident_kib(server)?;
        if let Some(hold) = self.hold {
            let span = Span::begin(setup, 0)?;
            sleep(hold).await;
            report.cpu = span.end((self.clients as f64 * hold.as_secs_f64()) as u64)?.cpu;
        }
        report.num_failed = crowd.num_failed();
        drop(crowd);
        sleep(SETTLE).await;
        let after = resident_kib(server)?;
        report.memory = Some(Memory {
            before,
            idle,
            after,
            num_clients: self.clients as u64,
        });
        Ok(report)
    }
}
