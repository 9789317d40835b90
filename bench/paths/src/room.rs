//! An event to a room, from the emit to the frames that its members read.

use anyhow::{Result, ensure};
use socket_io::SocketIo;
use tokio::runtime::Runtime;

use crate::app::register;
use crate::event::join_namespace;
use crate::hot_path::Operation;
use crate::pipe::{Pipe, runtime, text_frame};

/// Bytes of the event's text.
const PAYLOAD_LEN: usize = 128;

/// A server with members of one room.
pub struct Room {
    runtime: Runtime,
    io: SocketIo,
    members: Vec<Pipe>,
    text: String,
    /// The frame that each member reads.
    frame: Vec<u8>,
}

impl Room {
    /// Connects `num_members` clients and has them join one room.
    ///
    /// # Errors
    ///
    /// If one cannot connect.
    pub fn fill(num_members: usize) -> Result<Self> {
        let runtime = runtime()?;
        let text = "x".repeat(PAYLOAD_LEN);
        let io = runtime.block_on(async {
            let io = SocketIo::builder().build();
            register(&io);
            io
        });
        let members = runtime.block_on(async {
            let mut members = Vec::with_capacity(num_members);
            for _ in 0..num_members {
                let mut member = join_namespace(&io).await?;
                member.send(&text_frame(b"420[\"join\",\"r\"]")).await?;
                ensure!(member.receive().await?.starts_with(b"430["), "not joined");
                members.push(member);
            }
            Ok(members)
        })?;
        let packet = format!("42[\"m\",\"{text}\"]");
        let mut frame = vec![0x81, 126, 0, u8::try_from(packet.len())?];
        frame.extend_from_slice(packet.as_bytes());
        Ok(Self {
            runtime,
            io,
            members,
            text,
            frame,
        })
    }
}

impl Operation for Room {
    fn run(&mut self) -> Result<()> {
        self.runtime.block_on(async {
            self.io.to("r").local().emit("m", &self.text).await?;
            let mut received = vec![0; self.frame.len()];
            for member in &mut self.members {
                member.receive_exact(&mut received).await?;
                ensure!(received == self.frame, "a member got something else");
            }
            Ok(())
        })
    }
}
