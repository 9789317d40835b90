//! The thread that turns standard input into events that only wait to be awaited.

use std::io::{self, BufRead, BufReader};
use std::thread;

use futures_util::future::BoxFuture;
use manager_api::Error;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::plan::ParsedLine;

/// Bytes read at once; the lines among them travel together.
const READ_BYTES: usize = 32 << 10;
/// Batches read ahead of what is in flight.
const NUM_BATCHES: usize = 4;

/// What became of one line.
pub(super) enum Read {
    /// An event; its number is that of its line, counted from 1.
    Event {
        number: u64,
        /// Of its arguments.
        num_bytes: usize,
        publish: BoxFuture<'static, Result<(), Error>>,
    },
    /// A line that is no event.
    Bad { number: u64, reason: String },
    /// Standard input cannot be read further.
    Failed(Failure),
}

/// The lines of one read.
pub(super) type Batch = Vec<Read>;

/// Starts reading standard input. The receiver ends where it ends; dropping the receiver ends the thread.
pub(super) fn start(
    parse: impl FnMut(&[u8]) -> Result<Option<ParsedLine>, String> + Send + 'static,
    max_line_bytes: usize,
) -> Result<mpsc::Receiver<Batch>, Failure> {
    let (batches, receiver) = mpsc::channel(NUM_BATCHES);
    let read = move || {
        let mut lines = Lines {
            parse,
            max_line_bytes,
            line: Vec::new(),
            too_long: false,
            number: 0,
        };
        lines.read_all(BufReader::with_capacity(READ_BYTES, io::stdin().lock()), |batch| {
            batches.blocking_send(batch).is_ok()
        });
    };
    // Not joined: it may be waiting for a terminal when the command is done.
    thread::Builder::new()
        .name("lines".into())
        .spawn(read)
        .map_err(Failure::system("cannot start a thread"))?;
    Ok(receiver)
}

/// Cuts input into lines. Holds one incomplete line, never more of it than a message may have.
struct Lines<P> {
    parse: P,
    max_line_bytes: usize,
    line: Vec<u8>,
    too_long: bool,
    number: u64,
}

impl<P: FnMut(&[u8]) -> Result<Option<ParsedLine>, String>> Lines<P> {
    /// Reads to the end; gives up as soon as `send` says that nobody is interested.
    fn read_all(&mut self, mut input: impl BufRead, mut send: impl FnMut(Batch) -> bool) {
        loop {
            let bytes = match input.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    send(vec![Read::Failed(Failure::system("cannot read standard input")(error))]);
                    return;
                }
            };
            let num_bytes = bytes.len();
            let batch = if num_bytes == 0 {
                self.last_line()
            } else {
                self.cut(bytes)
            };
            input.consume(num_bytes);
            let interested = batch.is_empty() || send(batch);
            if num_bytes == 0 || !interested {
                return;
            }
        }
    }

    fn cut(&mut self, mut bytes: &[u8]) -> Batch {
        let mut batch = Batch::new();
        while let Some(at) = memchr(bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            if self.line.is_empty() && !self.too_long {
                batch.extend(self.event(line)); // the common case copies nothing
            } else {
                self.keep(line);
                batch.extend(self.kept_event());
            }
            bytes = rest;
        }
        self.keep(bytes);
        batch
    }

    /// What stands after the last line feed is a line too.
    fn last_line(&mut self) -> Batch {
        if self.line.is_empty() && !self.too_long {
            return Batch::new();
        }
        self.kept_event().into_iter().collect()
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.too_long || self.line.len() + bytes.len() > self.max_line_bytes {
            self.too_long = true;
            self.line = Vec::new();
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn kept_event(&mut self) -> Option<Read> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            self.number += 1;
            let reason = format!("longer than the {} bytes that can be sent", self.max_line_bytes);
            return Some(Read::Bad {
                number: self.number,
                reason,
            });
        }
        self.event(&line)
    }

    fn event(&mut self, line: &[u8]) -> Option<Read> {
        self.number += 1;
        let number = self.number;
        match (self.parse)(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(None) => None,
            Ok(Some(ParsedLine {
                broadcast,
                event,
                payload,
            })) => {
                let num_bytes = payload.size();
                // Encoded here and now; published when it is awaited.
                Some(Read::Event {
                    number,
                    num_bytes,
                    publish: broadcast.emit_payload(event.as_str(), payload),
                })
            }
            Err(reason) => Some(Read::Bad { number, reason }),
        }
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use manager_api::{Emitter, MemoryBus};

    /// What each line became: its number, and why it is bad if it is.
    fn read(input: &[u8], buffer_bytes: usize) -> Vec<(u64, Option<String>)> {
        let emitter = Emitter::new(MemoryBus::new().manager("socketio"));
        let format = crate::plan::LineFormat::Object {
            address: Default::default(),
        };
        let mut lines = Lines {
            parse: format.parser(&emitter),
            max_line_bytes: 30,
            line: Vec::new(),
            too_long: false,
            number: 0,
        };
        let mut seen = Vec::new();
        lines.read_all(BufReader::with_capacity(buffer_bytes, input), |batch| {
            seen.extend(batch.into_iter().map(|read| match read {
                Read::Event { number, .. } => (number, None),
                Read::Bad { number, reason } => (number, Some(reason)),
                Read::Failed(failure) => (0, Some(failure.to_string())),
            }));
            true
        });
        seen
    }

    #[test]
    fn lines_are_cut_the_same_however_they_arrive() {
        let input = b"{\"event\":\"a\"}\r\n\n{\"event\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\nx\n{\"event\":\"b\"}";
        let expected = read(input, 1 << 16);
        assert_eq!(
            expected.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [1, 3, 4, 5]
        );
        for buffer_bytes in 1..20 {
            let got = read(input, buffer_bytes);
            assert_eq!(got.len(), 4);
            assert_eq!(got[1].1.as_deref(), Some("longer than the 30 bytes that can be sent"));
            assert!(got[2].1.as_deref().unwrap().contains("column 1"));
            assert_eq!((got[0].clone(), got[3].clone()), ((1, None), (5, None)));
        }
    }

    #[test]
    fn empty_input_is_no_line() {
        assert_eq!(read(b"", 10), []);
        assert_eq!(read(b"\n\n", 10), []);
    }
}
