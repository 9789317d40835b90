//! Messages of the adapter for PostgreSQL: a notification is JSON; what is too long for one, or holds binary, is a row of
//! a table as MessagePack, and the notification names it: `{uid, type, attachmentId}`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::topics::{Attachment, Topic};
use manager_api::wire::Arrival;
use manager_api::{ClientManager, Error, NamespaceName};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};

use crate::format::{Format, Json};
use crate::shipment::{Shipment, attachments};

/// The table of the adapter, by default.
pub(crate) const TABLE: &str = "socket_io_attachments";
/// The age at which rows are deleted, and the interval of the deletions: the adapter's default.
pub(crate) const CLEANUP: Duration = Duration::from_secs(30);
/// The wait for the heartbeats of servers that were asked for them, before the first request of a process.
pub(crate) const DISCOVERY: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Notice<'a> {
    #[serde(borrow, rename = "attachmentId")]
    id: Option<&'a RawValue>,
}

/// Returns the number of the row that a notification names: a number, or text, as the client library of Node has it.
pub(crate) fn row_of(notice: &[u8]) -> Option<i64> {
    let notice = std::str::from_utf8(notice).ok()?;
    if !notice.contains("\"attachmentId\"") {
        return None;
    }
    let notice: Notice<'_> = serde_json::from_str(notice).ok()?;
    let id = notice.id?.get();
    match id.starts_with('"') {
        true => serde_json::from_str::<Cow<'_, str>>(id).ok()?.parse().ok(),
        false => id.parse().ok(),
    }
}

/// Returns a heartbeat, or another message without data.
pub(crate) fn heartbeat(namespace: &NamespaceName, uid: &str, kind: u64) -> Bytes {
    let mut out = Json::default();
    out.map(3, |out| {
        out.member_uint("type", kind);
        out.member_text("uid", uid);
        out.member_text("nsp", namespace.as_str());
    });
    out.into_vec().into()
}

/// A message to the servers of a namespace, of one process.
pub(crate) struct Outbound<'a> {
    pub(crate) topic: Topic,
    /// The id of the process in it.
    pub(crate) uid: &'a str,
    pub(crate) kind: u64,
}

/// Chooses the form of a message: `json` is `None` if it holds binary.
pub(crate) fn shipment(
    manager: &dyn ClientManager,
    table: &Arc<str>,
    outbound: Outbound<'_>,
    json: Option<Bytes>,
    msgpack: impl FnOnce() -> Bytes,
) -> Shipment {
    let max_len = attachments(manager).max_message_len();
    let Outbound { topic, uid, kind } = outbound;
    match json.filter(|json| json.len() <= max_len) {
        Some(json) => Shipment::Publish(topic, json),
        None => {
            let attachment = Attachment {
                table: table.clone(),
                before: format!("{{\"uid\":\"{uid}\",\"type\":{kind},\"attachmentId\":\""),
                after: "\"}".to_owned(),
            };
            Shipment::Attach(topic, attachment, msgpack())
        }
    }
}

/// Old rows of a table, and how long they are kept.
pub(crate) struct OldRows {
    pub(crate) manager: Arc<dyn ClientManager>,
    pub(crate) table: Arc<str>,
    pub(crate) age: Duration,
}

impl OldRows {
    /// Deletes them from time to time, as each server on Node does, until the server closes or its arrivals are dropped.
    pub(crate) async fn delete(self, arrivals: mpsc::Sender<Option<Arrival>>, mut is_closing: watch::Receiver<bool>) {
        if self.age.is_zero() {
            return;
        }
        loop {
            tokio::select! {
                () = arrivals.closed() => return,
                _ = is_closing.wait_for(|is_closing| *is_closing) => return,
                () = tokio::time::sleep(self.age) => {}
            }
            let deleted = attachments(&*self.manager).delete_attached(self.table.clone(), self.age);
            if let Err(error) = deleted.await {
                note_failure(&error);
            }
        }
    }
}

fn note_failure(error: &Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        let error = Escaped(error);
        let text = "cannot delete old attachments: the table grows if no other server does; trying again";
        quietly(|| tracing::warn!(suppressed, ?error, "{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_notice_is_found_as_node_writes_it_and_in_nothing_else() {
        for (notice, expected) in [
            (r#"{"uid":"a","type":3,"attachmentId":"12"}"#, Some(12)),
            (r#"{"uid":"a","type":3,"attachmentId":12}"#, Some(12)),
            (r#"{"uid":"a","type":3,"attachmentId":null}"#, None),
            (r#"{"uid":"a","type":3,"attachmentId":"1.5"}"#, None),
            (r#"{"uid":"a","type":3,"attachmentId":99999999999999999999}"#, None),
            (
                r#"{"type":3,"data":{"packet":{"data":["\"attachmentId\":\"12\""]}}}"#,
                None,
            ),
            (r#"{"type":3,"data":{"attachmentId":"12"}}"#, None),
            (r#""attachmentId""#, None),
            ("", None),
        ] {
            assert_eq!(row_of(notice.as_bytes()), expected, "{notice}");
        }
        assert_eq!(row_of(b"\xff\"attachmentId\""), None);
    }
}
