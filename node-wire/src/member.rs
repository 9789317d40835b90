//! A server of ours among Node's: it reads their messages, and responds to their requests.

mod fields;
mod pending;
mod read;
mod respond;

pub(crate) use pending::PendingRequests;
#[cfg(test)]
pub(crate) use pending::Wanted;
pub(crate) use read::{Reader, classic_broadcast, classic_request, cluster_entry, cluster_message};
pub(crate) use respond::Responding;
