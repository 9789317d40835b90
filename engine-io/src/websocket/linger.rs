//! The close handshake: the last frame to a client, and the wait for its end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::websocket::frame::{self, OpCode};
use crate::websocket::stream::Io;

/// The time that a client has to take the close frame and to close its side.
const PATIENCE: Duration = Duration::from_secs(1);

/// The last frame that a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseFrame {
    /// No frame: the client has gone away, or cannot take one.
    None,
    /// A close frame without a code.
    Empty,
    /// A close frame with a code.
    Code(u16),
}

impl CloseFrame {
    /// Returns the bytes of the frame, if there is one.
    pub(crate) fn encode(self) -> Option<Vec<u8>> {
        let code;
        let payload: &[u8] = match self {
            Self::None => return None,
            Self::Empty => &[],
            Self::Code(number) => {
                code = number.to_be_bytes();
                &code
            }
        };
        let (head, start) = frame::head(OpCode::Close, payload.len());
        Some([&head[usize::from(start)..], payload].concat())
    }
}

/// Closes a WebSocket with a close frame that has no code.
pub(crate) async fn close<I: Io>(io: I) {
    if let Some(frame) = CloseFrame::Empty.encode() {
        linger(io, frame).await;
    }
}

/// Writes the last frame and waits for the client to close, so that unread input does not destroy
/// the bytes under way.
pub(crate) async fn linger<I: Io>(mut io: I, last: Vec<u8>) {
    let closing = async {
        io.write_all(&last).await?;
        io.shutdown().await?;
        let mut ignored = [0; 512];
        while io.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether it succeeds or not, the connection ends here.
    let _ = tokio::time::timeout(PATIENCE, closing).await;
}
