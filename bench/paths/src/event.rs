//! An event of a client, and its acknowledgement.

use anyhow::{Result, ensure};
use hyper_util::service::TowerToHyperService;
use socket_io::SocketIo;
use tokio::runtime::Runtime;

use crate::app::register;
use crate::hot_path::Operation;
use crate::pipe::{Pipe, runtime, text_frame};

/// Bytes of the event's text.
const PAYLOAD_LEN: usize = 128;

/// A client that sends one event and reads its acknowledgement.
pub(crate) struct Event {
    runtime: Runtime,
    client: Pipe,
    frame: Vec<u8>,
}

impl Event {
    pub(crate) fn connect() -> Result<Self> {
        let runtime = runtime()?;
        let client = runtime.block_on(async {
            let io = SocketIo::builder().build();
            register(&io);
            join_namespace(&io).await
        })?;
        let event = format!("427[\"echo\",\"{}\"]", "x".repeat(PAYLOAD_LEN));
        Ok(Self {
            runtime,
            client,
            frame: text_frame(event.as_bytes()),
        })
    }
}

impl Operation for Event {
    fn run(&mut self) -> Result<()> {
        self.runtime.block_on(async {
            self.client.send(&self.frame).await?;
            let packet = self.client.receive().await?;
            ensure!(packet.starts_with(b"437[\"x"), "not acknowledged");
            Ok(())
        })
    }
}

/// Opens a WebSocket and joins namespace `/`.
pub(crate) async fn join_namespace(io: &SocketIo) -> Result<Pipe> {
    let mut client = Pipe::open(TowerToHyperService::new(io.service())).await?;
    ensure!(client.receive().await?.starts_with(b"0{"), "no session");
    client.send(&text_frame(b"40")).await?;
    ensure!(client.receive().await?.starts_with(b"40{"), "not accepted");
    Ok(client)
}
