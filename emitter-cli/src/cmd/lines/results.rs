//! What became of each line, for the program that writes the lines: `--results`.

use std::future::pending;

use futures_util::future::BoxFuture;
use manager_api::{Error, IdempotencyKey};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// Bytes of results that may wait for their reader, beyond which no further event is started.
const MAX_UNREAD_BYTES: usize = 1 << 20;

/// What became of one line.
#[derive(Serialize)]
pub(super) struct LineResult<'a> {
    line: u64,
    key: Option<&'a str>,
    accepted: bool,
    #[serde(flatten)]
    failed: Option<Failed>,
}

/// Why a line was not accepted, and what may be done about it.
#[derive(Serialize)]
struct Failed {
    retryable: bool,
    may_have_been_published: bool,
    error: String,
}

impl<'a> LineResult<'a> {
    /// The broker has accepted the event.
    pub(super) fn accepted(line: u64, key: Option<&'a IdempotencyKey>) -> LineResult<'a> {
        LineResult {
            line,
            key: key.map(IdempotencyKey::as_str),
            accepted: true,
            failed: None,
        }
    }

    /// The broker has not accepted the event, as far as is known.
    pub(super) fn refused(line: u64, key: Option<&'a IdempotencyKey>, error: &Error) -> LineResult<'a> {
        LineResult {
            line,
            key: key.map(IdempotencyKey::as_str),
            accepted: false,
            failed: Some(Failed {
                retryable: error.is_retryable(),
                may_have_been_published: error.may_have_been_published(),
                error: error.to_string(),
            }),
        }
    }

    /// The line is not an event, and was not sent. What it has as a key may be what is wrong with it.
    pub(super) fn bad(line: u64, reason: &str) -> LineResult<'a> {
        LineResult {
            line,
            key: None,
            accepted: false,
            failed: Some(Failed {
                retryable: false,
                may_have_been_published: false,
                error: reason.to_owned(),
            }),
        }
    }
}

/// Prints results, on a thread that may wait for their reader; what does not fit into the pipe waits here.
pub(super) struct Results {
    /// No results are wanted, or their reader is gone.
    off: bool,
    unread: String,
    printing: Option<BoxFuture<'static, Result<(), Failure>>>,
}

impl Results {
    pub(super) fn new(wanted: bool) -> Results {
        Results {
            off: !wanted,
            unread: String::new(),
            printing: None,
        }
    }

    /// Takes a result, which is printed while [`Results::print`] is awaited.
    pub(super) fn add(&mut self, result: &LineResult<'_>) {
        if self.off {
            return;
        }
        let line = serde_json::to_string(result).expect("text and numbers are JSON");
        self.unread.push_str(&output::json_line(line));
        self.unread.push('\n');
    }

    /// Tells whether all of them were printed.
    pub(super) fn is_done(&self) -> bool {
        self.printing.is_none() && self.unread.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.unread.len() < MAX_UNREAD_BYTES
    }

    /// Prints what there is; pends while there is nothing. A reader that has had enough is not an error: events are emitted all the same.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was begun is continued by the next call.
    pub(super) async fn print(&mut self) -> Result<(), Failure> {
        if self.printing.is_none() && !self.unread.is_empty() {
            self.printing = Some(Box::pin(output::printed(std::mem::take(&mut self.unread))));
        }
        let Some(printing) = &mut self.printing else {
            return pending().await;
        };
        let printed = printing.await;
        self.printing = None;
        if printed.is_err() {
            self.off = true;
            self.unread.clear();
        }
        match printed {
            Err(Failure::ClosedPipe) => Ok(()),
            printed => printed,
        }
    }
}
