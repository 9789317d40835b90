//! The ids of requests on the wire.
//!
//! Node takes them for opaque text. They hold all that is needed to pass on a response, so that no table of open
//! requests has to be kept, bounded and swept.

use manager_api::message::Emit;

/// What the responses to a request are for; the numbers are those of the process that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestId {
    /// An event: its acknowledgements, and the numbers of its recipients for a report or a receipt.
    Broadcast {
        ack: Option<u64>,
        report: Option<u64>,
        receipt: Option<u64>,
    },
    /// A list of clients.
    Sockets(u64),
    /// A list of clients, to be counted.
    Count(u64),
    /// The output of the handlers of an event for servers.
    Event(u64),
}

impl RequestId {
    /// Returns the id of an event that expects something in return; `None` for any other.
    pub(crate) fn of(emit: &Emit) -> Option<Self> {
        let ack = emit.callback.as_ref().map(|address| address.id);
        let (report, receipt) = (emit.report, emit.receipt);
        (ack.is_some() || report.is_some() || receipt.is_some()).then_some(Self::Broadcast { ack, report, receipt })
    }

    /// Writes the id; `uid` is that of the process, because others receive its responses too.
    pub(crate) fn to_text(self, uid: &str) -> String {
        match self {
            Self::Broadcast { ack, report, receipt } => {
                let [ack, report, receipt] = [ack, report, receipt].map(Option::unwrap_or_default);
                format!("{uid}-b-{ack}-{report}-{receipt}")
            }
            Self::Sockets(id) => format!("{uid}-s-{id}"),
            Self::Count(id) => format!("{uid}-c-{id}"),
            Self::Event(id) => format!("{uid}-e-{id}"),
        }
    }

    /// Reads the id of a response; `None` if the request is of another process.
    pub(crate) fn parse(text: &str, uid: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(uid)?.strip_prefix('-')?.split('-');
        let kind = parts.next()?;
        let mut number = || parts.next()?.parse::<u64>().ok();
        let id = match kind {
            // Ids begin at 1.
            "b" => Self::Broadcast {
                ack: Some(number()?).filter(|&id| id > 0),
                report: Some(number()?).filter(|&id| id > 0),
                receipt: Some(number()?).filter(|&id| id > 0),
            },
            "s" => Self::Sockets(number()?),
            "c" => Self::Count(number()?),
            "e" => Self::Event(number()?),
            _ => return None,
        };
        parts.next().is_none().then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_only_by_its_process() {
        for id in [
            RequestId::Broadcast {
                ack: Some(7),
                report: None,
                receipt: Some(u64::MAX),
            },
            RequestId::Sockets(1),
            RequestId::Count(2),
            RequestId::Event(3),
        ] {
            let text = id.to_text("0a1b");
            assert_eq!(RequestId::parse(&text, "0a1b"), Some(id), "{text}");
            assert_eq!(RequestId::parse(&text, "0a1c"), None);
            assert_eq!(RequestId::parse(&format!("{text}-1"), "0a1b"), None);
        }
        for text in [
            "",
            "0a1b",
            "0a1b-",
            "0a1b-x-1",
            "0a1b-s-",
            "0a1b-s--1",
            "0a1b-b-1-2",
            "js3yXD",
        ] {
            assert_eq!(RequestId::parse(text, "0a1b"), None, "{text}");
        }
    }
}
