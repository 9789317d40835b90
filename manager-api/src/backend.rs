//! What managers over a broker have in common, for those who write one.
//!
//! A manager knows one client library: how to connect with it, send, and listen. The rest is the same for all of them and is here:
//!
//! | item | what it knows |
//! |---|---|
//! | [`Publisher`], [`PublishQueue`], [`PublishLink`] | who waits for a message's acceptance, in which order, for how long; the task that sends |
//! | [`Attempts`], [`Failure`] | how long to try; when trying is pointless |
//! | [`Reconnect`] | how soon to connect again, after a failure or a connection that worked |
//! | [`TlsOptions`], [`TlsParameters`] | which files TLS needs, by option and by URL |
//! | `tls` (feature `tls`) | what those files are: a configuration of rustls; what a refusal says |
//! | `dial` (feature `dial`) | a connection to a name with several addresses |
//! | [`Status`], [`Connected`] | health, log lines at a limited rate |
//! | [`url`] | the parts of a URL, without repeating secrets |
//! | [`check_len`], [`closed`], [`bad`], [`seconds`], [`may_be_published`] | errors that read the same everywhere |
//!
//! `manager-redis` is the shortest complete example.

#[cfg(feature = "dial")]
pub mod dial;
mod drive;
mod failure;
mod publish;
mod queue;
mod reconnect;
mod status;
#[cfg(feature = "tls")]
pub mod tls;
mod tls_options;
pub mod url;

pub use drive::PublishLink;
pub use failure::{Attempts, Failure, bad, check_len, closed, may_be_published, seconds};
pub use publish::Publisher;
pub use queue::{Job, PublishQueue};
pub use reconnect::Reconnect;
pub use status::{Connected, Role, Status};
pub use tls_options::{TlsOptions, TlsParameters};

#[cfg(test)]
mod tests;
