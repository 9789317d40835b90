//! The place of an application's session within an engine session.

use crate::connection::admission::Live;
use crate::session::Session;

/// The session that the handler made, until its work is done.
#[derive(Default)]
pub(crate) struct SessionCell {
    /// The session itself; absent while the handler makes it, and once its work is done.
    pub(crate) session: Option<Box<dyn Session>>,
    /// Counts the session until it is dropped.
    pub(crate) live: Option<Live>,
    /// The session's `close` was called.
    pub(crate) close_called: bool,
}
