//! The common parts of managers over a broker, for implementors.
//!
//! A manager adapts one client library: how to connect with it, publish, and subscribe. This module holds the rest:
//!
//! | item | purpose |
//! |---|---|
//! | [`Publisher`], [`PublishQueue`], [`PublishLink`] | publishes that wait to be accepted: their order and deadlines; the task that sends |
//! | [`Listeners`], [`ListenLink`], [`Feed`] | subscriptions: the first connection within the deadline, every later one after a pause, gaps, the end |
//! | [`Attempts`], [`Failure`] | attempts until a deadline; refusals, for which retrying is pointless |
//! | [`Reconnect`] | delays before a reconnect, after a failure or after a connection that worked |
//! | [`TlsOptions`], [`TlsParameters`] | the files of TLS, by option and by URL |
//! | `tls` (feature `tls`) | those files as a configuration of rustls; explanations of refusals |
//! | `dial` (feature `dial`) | a connection to a name with several addresses |
//! | [`Status`], [`Connected`] | health, log lines at a limited rate |
//! | [`url`] | the parts of a URL, without repeating secrets |
//! | [`check_name`], [`check_interests`], [`check_entry`], [`glob`] | topics: limits of names; patterns |
//! | [`check_len`], [`check_size`], [`closed`], [`bad`], [`seconds`], [`may_be_published`], [`not_flushed`] | errors with the same text in every manager |
//!
//! `manager-redis` is the shortest complete example.

#[cfg(feature = "dial")]
pub mod dial;
mod drive;
mod failure;
mod feed;
pub mod glob;
mod listen;
mod listeners;
mod names;
mod publish;
mod queue;
mod reconnect;
mod status;
#[cfg(feature = "tls")]
pub mod tls;
mod tls_options;
pub mod url;

pub use drive::PublishLink;
pub use failure::{Attempts, Failure, bad, check_len, check_size, closed, may_be_published, not_flushed, seconds};
pub use feed::Feed;
pub use listen::{End, ListenLink, Resumed};
pub use listeners::Listeners;
pub use names::{MAX_NAME_LEN, check_entry, check_interests, check_name};
pub use publish::Publisher;
pub use queue::{Job, PublishQueue};
pub use reconnect::Reconnect;
pub use status::{Connected, Role, Status};
pub use tls_options::{TlsOptions, TlsParameters};

#[cfg(test)]
mod tests;
