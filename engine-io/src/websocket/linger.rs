//! The last words to a client.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::websocket::frame::{self, OpCode};
use crate::websocket::io::Io;

/// The time that a client has to take the close frame and to close its side.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns a close frame, with a code if there is one to tell.
pub(crate) fn close_frame(code: Option<u16>) -> Vec<u8> {
    let payload = code.map(u16::to_be_bytes);
    let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
    let (head, start) = frame::head(OpCode::Close, payload.len());
    [&head[usize::from(start)..], payload].concat()
}

/// Writes the last frame and waits for the client to close, so that unread input does not destroy what is under way.
pub(crate) async fn linger<I: Io>(mut io: I, last: Vec<u8>) {
    let farewell = async {
        io.write_all(&last).await?;
        io.shutdown().await?;
        let mut ignored = [0; 512];
        while io.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it succeeds or not, the connection ends here.
    let _ = tokio::time::timeout(PATIENCE, farewell).await;
}
