//! The session of a protocol above Engine.IO: the state that it keeps for one client.

use std::task::{Context, Poll};

use crate::close::CloseReason;
use crate::error::ProtocolError;

/// The state that a protocol keeps for one client.
///
/// Messages are borrowed, so that a session copies what it keeps and no more. Work that takes time
/// is queued by [`message`](Self::message) and driven by [`poll_work`](Self::poll_work).
///
/// ```
/// use std::future::Future;
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
///
/// use engine_io::{Message, ProtocolError, Session};
///
/// /// Handles one message at a time, and reads no further meanwhile.
/// #[derive(Default)]
/// struct OneByOne {
///     work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
/// }
///
/// impl Session for OneByOne {
///     fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
///         let Message::Text(text) = message else {
///             return Err(ProtocolError::new("only text is expected"));
///         };
///         let text = text.to_owned();
///         self.work = Some(Box::pin(async move { store(text).await }));
///         Ok(())
///     }
///
///     fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
///         if let Some(work) = &mut self.work {
///             std::task::ready!(work.as_mut().poll(cx));
///             self.work = None;
///         }
///         Poll::Ready(())
///     }
///
///     fn is_input_full(&self) -> bool {
///         self.work.is_some()
///     }
/// }
/// # async fn store(_: String) {}
/// ```
///
/// All methods are called by one task at a time. A panic in any of them is caught, logged, and
/// closes this connection alone.
pub trait Session: Send {
    /// Handles a message, in the order of arrival; must not block.
    ///
    /// # Errors
    /// An error closes the connection with [`CloseReason::ParseError`].
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError>;

    /// Drives queued asynchronous work, such as the handlers of events; `Ready` means that nothing
    /// is left. Default: there is none.
    ///
    /// Polled by the connection's task after messages and whenever woken, also after
    /// [`close`](Self::close), until it is `Ready`; then again after messages and
    /// [`Socket::wake_session`](crate::Socket::wake_session).
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Returns whether so much work is queued that reading from this client pauses; its ping timeout
    /// is suspended meanwhile, for [`max_reading_pause`](crate::Config::max_reading_pause) at most.
    /// Default: never.
    fn is_input_full(&self) -> bool {
        false
    }

    /// Learns that the connection moved to a WebSocket. Default: nothing happens.
    fn upgraded(&mut self) {}

    /// Learns that the connection is closed. Called exactly once, before the final polls of
    /// [`poll_work`](Self::poll_work). Default: nothing happens.
    fn close(&mut self, reason: CloseReason) {
        let _ = reason;
    }
}

/// A message of a client, borrowed from the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, without the packet type in front.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}
