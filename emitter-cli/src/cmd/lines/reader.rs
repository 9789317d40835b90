//! The thread that turns standard input into events that only wait to be awaited.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use futures_util::future::BoxFuture;
use manager_api::{Error, IdempotencyKey};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::plan::{ParsedLine, encoding};

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
        key: Option<IdempotencyKey>,
        publish: BoxFuture<'static, Result<(), Error>>,
    },
    /// A line that is not an event.
    Bad { number: u64, reason: String },
    /// Standard input cannot be read further.
    Failed(Failure),
}

/// The lines of one read.
pub(super) type Batch = Vec<Read>;

/// What is known of standard input while it is read.
pub(super) struct Input {
    /// Ends where standard input ends.
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) counters: Arc<Counters>,
    /// In bytes, where that is known: standard input is a file.
    pub(super) len: Option<u64>,
}

/// How much was read, also of what did not become a batch any more.
#[derive(Debug, Default)]
pub(super) struct Counters {
    num_bytes: AtomicU64,
    num_lines: AtomicU64,
}

impl Counters {
    /// As if so much had been read.
    #[cfg(test)]
    pub(super) fn of(num_bytes: u64, num_lines: u64) -> Counters {
        Counters {
            num_bytes: num_bytes.into(),
            num_lines: num_lines.into(),
        }
    }

    /// Bytes that were read.
    pub(super) fn num_bytes(&self) -> u64 {
        self.num_bytes.load(Ordering::Relaxed)
    }

    /// Lines that were read, blank ones not counted.
    pub(super) fn num_lines(&self) -> u64 {
        self.num_lines.load(Ordering::Relaxed)
    }
}

/// Starts reading standard input. Dropping the receiver ends the thread.
pub(super) fn start(
    parse: impl FnMut(&[u8]) -> Result<Option<ParsedLine>, String> + Send + 'static,
    max_line_bytes: usize,
) -> Result<Input, Failure> {
    let (batches, receiver) = mpsc::channel(NUM_BATCHES);
    let counters = Arc::new(Counters::default());
    let counted = Arc::clone(&counters);
    let read = move || {
        let mut lines = Lines {
            parse,
            max_line_bytes,
            line: Vec::new(),
            too_long: false,
            number: 0,
            counters: counted,
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
    Ok(Input {
        batches: receiver,
        counters,
        len: input_len(),
    })
}

/// How many bytes there are to be read, if standard input is a file.
#[cfg(unix)]
fn input_len() -> Option<u64> {
    use std::io::Seek;
    use std::os::fd::AsFd;
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    about.len().checked_sub(file.stream_position().ok()?)
}

#[cfg(not(unix))]
fn input_len() -> Option<u64> {
    None
}

/// Cuts input into lines. Holds one incomplete line, never more of it than a message may have.
struct Lines<P> {
    parse: P,
    max_line_bytes: usize,
    line: Vec<u8>,
    too_long: bool,
    number: u64,
    counters: Arc<Counters>,
}

impl<P: FnMut(&[u8]) -> Result<Option<ParsedLine>, String>> Lines<P> {
    /// Reads to the end; gives up as soon as `send` says that its receiver is gone.
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
            self.counters.num_bytes.fetch_add(num_bytes as u64, Ordering::Relaxed);
            let has_failed = matches!(batch.last(), Some(Read::Failed(_)));
            let num_lines = batch.len() - usize::from(has_failed);
            self.counters.num_lines.fetch_add(num_lines as u64, Ordering::Relaxed);
            let interested = batch.is_empty() || send(batch);
            if num_bytes == 0 || has_failed || !interested {
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
            if matches!(batch.last(), Some(Read::Failed(_))) {
                return batch;
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
        let mut line = line;
        if number == 1 {
            line = match encoding::without_mark(line) {
                Ok(line) => line,
                Err(name) => return Some(Read::Failed(Failure::input(format!("standard input is {name}")))),
            };
        }
        match (self.parse)(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(None) => None,
            Ok(Some(ParsedLine {
                broadcast,
                event,
                payload,
                key,
            })) => {
                let num_bytes = payload.size();
                // Encoded here and now; published when it is awaited.
                Some(Read::Event {
                    number,
                    num_bytes,
                    key,
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
    use manager_api::Emitter;
    use manager_api::memory::MemoryBus;

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
            counters: Arc::default(),
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
            assert!(got[2].1.as_deref().unwrap().starts_with("not an object"));
            assert_eq!((got[0].clone(), got[3].clone()), ((1, None), (5, None)));
        }
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_and_utf_16_is_named_once() {
        let marked = b"\xef\xbb\xbf{\"event\":\"a\"}\n{\"event\":\"b\"}\n";
        let utf16: Vec<u8> = "\u{feff}{\"event\":\"a\"}\r\n{\"event\":\"b\"}\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for buffer_bytes in [1, 2, 7, 1 << 16] {
            assert_eq!(read(marked, buffer_bytes), [(1, None), (2, None)]);
            let seen = read(&utf16, buffer_bytes);
            assert!(
                matches!(&seen[..], [(0, Some(reason))] if reason.contains("UTF-16")),
                "{seen:?}"
            );
        }
    }

    #[test]
    fn empty_input_is_no_line() {
        assert_eq!(read(b"", 10), []);
        assert_eq!(read(b"\n\n", 10), []);
    }
}
