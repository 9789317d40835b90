//! What managers over a broker have in common, for those who write one.
//!
//! A manager knows one client library: how to connect with it, send, and listen. The rest is the same for all of them and is here:
//!
//! | item | what it knows |
//! |---|---|
//! | [`Publisher`], [`PublishQueue`], [`Line`] | who waits for a message's acceptance, in which order, for how long; the task that sends |
//! | [`Attempts`], [`Failure`] | how long to try; when trying is pointless |
//! | [`deadline`] | when a wait is over, that of [`Duration::MAX`](std::time::Duration::MAX) included |
//! | [`Status`], [`Connected`] | health, log lines at a limited rate |
//! | [`url`] | the parts of a URL, without repeating secrets |
//! | [`check_len`], [`closed`], [`bad`], [`seconds`] | errors that read the same everywhere |
//!
//! `manager-redis` is the shortest complete example.

pub mod deadline;
mod drive;
mod failure;
mod publish;
mod queue;
mod status;
pub mod url;

pub use drive::Line;
pub use failure::{Attempts, Failure, bad, check_len, closed, seconds};
pub use publish::Publisher;
pub use queue::{Job, PublishQueue};
pub use status::{Connected, Role, Status};

#[cfg(test)]
mod tests;
