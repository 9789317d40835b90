//! Extractors: what a handler may take as an argument.
//!
//! A handler names the types it wants, and is called with them; see [`FromContext`] for types of your own. Besides those of this
//! module these can be arguments:
//!
//! | argument | handlers | what |
//! |---|---|---|
//! | [`Socket`](crate::Socket), [`SocketIo`](crate::SocketIo) | all | the client, the server |
//! | `NamespaceName` | all | the namespace of the client |
//! | `HeaderMap`, [`PeerAddr`](crate::service::PeerAddr) | all | headers and address of the request that opened the connection |
//! | `EventName`, `Payload` | events, middleware | the name, the arguments as they came |
//! | [`DisconnectReason`](crate::socket::DisconnectReason) | disconnects | why the client is gone |
//! | `Result<_, Rejection>` | all | an argument, or why it cannot be had |

mod data;
mod from_context;
mod rejection;
mod request;
mod state;

pub use data::{Auth, Data};
pub use from_context::FromContext;
pub use rejection::Rejection;
pub use request::{Extension, Query};
pub use state::State;
