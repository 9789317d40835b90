//! Standard error as nothing waits for it: a thread of its own writes, so that a reader that pauses stops no other thread.
//!
//! A pipe whose reader has stopped (`sio serve -v 2>&1 | less`) blocks who writes to it, without an end. Here lines wait in a bounded queue; what
//! finds no room is left out and counted, and the count is told once the reader goes on. The well-kept crate for this, tracing-appender, counts
//! without telling, bounds lines and not bytes, cannot say when a line was written, and prints to standard output when it ends with a full queue.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use manager_api::lock::Unpoisoned;

use crate::form;

/// Bytes of lines that wait for the reader: some thousand lines, and nothing beside what a server keeps for its clients.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// How long a command waits for the reader, so that its lines are in order with standard output and the last one is not lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// The least time between two lines that tell how many were left out, while lines go on waiting.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// Standard error, from the first line on; nothing if no thread could be had.
static STANDARD_ERROR: OnceLock<Option<Arc<Outlet>>> = OnceLock::new();

/// Writes what is one line, or more, whenever standard error takes it. Returns at once; what finds no room is left out, and counted.
pub(crate) fn log(lines: &[u8]) {
    match STANDARD_ERROR.get_or_init(start) {
        Some(outlet) => outlet.offer(lines),
        // What cannot be written is lost.
        None => drop(io::stderr().write_all(lines)),
    }
}

/// As [`log`], and waits up to a second until it was written; while the reader pauses, not again.
pub(crate) fn tell(lines: &[u8]) {
    log(lines);
    flush();
}

/// Waits up to a second until what was logged was written; not while the reader pauses, once that is known.
pub(crate) fn flush() {
    if let Some(Some(outlet)) = STANDARD_ERROR.get() {
        outlet.flush(PATIENCE);
    }
}

fn start() -> Option<Arc<Outlet>> {
    let outlet = Arc::new(Outlet::new(MAX_WAITING_BYTES));
    let writing = Arc::clone(&outlet);
    let thread = thread::Builder::new().name("stderr".to_owned());
    let started = thread.spawn(move || writing.write_to(io::stderr()));
    started.is_ok().then_some(outlet)
}

/// Lines on their way to a writer.
struct Outlet {
    state: Mutex<State>,
    max_waiting_bytes: usize,
    /// There is something to write.
    offered: Condvar,
    /// Something was written, or could not be.
    tried: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    num_waiting_bytes: usize,
    is_writing: bool,
    /// The writer was waited for in vain since it last moved.
    is_stalled: bool,
    /// The writer took what it got last.
    is_taking: bool,
    num_left_out: u64,
    /// When the last line was begun that tells how many were left out.
    noted: Option<Instant>,
}

/// What the writer gets next.
enum Next {
    Lines(Vec<u8>),
    /// So many were left out.
    Note(u64),
}

impl State {
    fn next(&mut self) -> Option<Next> {
        let is_due = self.waiting.is_empty() || self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_INTERVAL);
        if self.num_left_out > 0 && self.is_taking && is_due {
            self.noted = Some(Instant::now());
            return Some(Next::Note(self.num_left_out));
        }
        let lines = self.waiting.pop_front()?;
        self.num_waiting_bytes -= lines.len();
        Some(Next::Lines(lines))
    }

    fn is_pending(&self) -> bool {
        self.is_writing || !self.waiting.is_empty()
    }
}

/// The line that tells how many lines were left out.
fn note(count: u64) -> Vec<u8> {
    let lines = match count {
        1 => "1 line was".to_owned(),
        count => format!("{count} lines were"),
    };
    form::lines(&format!(
        "sio: {lines} left out hereabouts, because standard error did not take them in time"
    ))
}

impl Outlet {
    fn new(max_waiting_bytes: usize) -> Outlet {
        Outlet {
            state: Mutex::default(),
            max_waiting_bytes,
            offered: Condvar::new(),
            tried: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    fn offer(&self, lines: &[u8]) {
        let mut state = self.state();
        let has_room = state.waiting.is_empty() || state.num_waiting_bytes + lines.len() <= self.max_waiting_bytes;
        if !has_room {
            state.num_left_out += 1;
            return;
        }
        state.num_waiting_bytes += lines.len();
        state.waiting.push_back(lines.to_vec());
        self.offered.notify_one();
    }

    fn flush(&self, patience: Duration) {
        let is_awaited = |state: &mut State| state.is_pending() && !state.is_stalled;
        let waited = self.tried.wait_timeout_while(self.state(), patience, is_awaited);
        let (mut state, result) = waited.unpoisoned();
        if result.timed_out() {
            state.is_stalled = true;
        }
    }

    /// Writes what is offered, for as long as the process lives.
    fn write_to(&self, mut writer: impl Write) {
        let mut state = self.state();
        loop {
            let Some(next) = state.next() else {
                state = self.offered.wait(state).unpoisoned();
                continue;
            };
            state.is_writing = true;
            drop(state);
            let taken = match &next {
                Next::Lines(lines) => writer.write_all(lines),
                Next::Note(count) => writer.write_all(&note(*count)),
            };
            state = self.state();
            match (&next, &taken) {
                (Next::Lines(_), Err(_)) => state.num_left_out += 1,
                (Next::Note(count), Ok(())) => state.num_left_out -= count,
                (Next::Lines(_), Ok(())) | (Next::Note(_), Err(_)) => {}
            }
            state.is_writing = false;
            state.is_stalled = false;
            state.is_taking = taken.is_ok();
            self.tried.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes may wait in these tests.
    const MAX: usize = 100;
    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    /// A pipe whose reader pauses until it is read: the system keeps less than is offered here.
    fn paused() -> (Arc<Outlet>, io::PipeReader) {
        let (reader, mut writer) = io::pipe().unwrap();
        let outlet = Arc::new(Outlet::new(MAX));
        let writing = Arc::clone(&outlet);
        thread::spawn(move || {
            // More than a pipe holds: this, too, waits for the reader.
            writer.write_all(&vec![b'.'; 1 << 20]).unwrap();
            writer.write_all(b"\n").unwrap();
            writing.write_to(writer);
        });
        (outlet, reader)
    }

    /// Reads lines until one is `last`, without the dots before them.
    fn read(reader: io::PipeReader, last: &str) -> Vec<String> {
        use std::io::BufRead;
        let lines = io::BufReader::new(reader).lines().skip(1).map(Result::unwrap);
        let mut read = Vec::new();
        for line in lines {
            let is_last = line == last;
            read.push(line);
            if is_last {
                break;
            }
        }
        read
    }

    #[test]
    fn what_a_paused_reader_does_not_take_is_left_out_counted_and_told_once() {
        let (outlet, reader) = paused();
        for number in 10..40 {
            outlet.offer(format!("line {number}\n").as_bytes());
        }
        assert_eq!(outlet.state().num_left_out, 18, "12 lines of 8 bytes have room");
        let reading = thread::spawn(|| read(reader, "end"));
        outlet.flush(LONG);
        outlet.offer(b"end\n");
        let read = reading.join().unwrap();
        let notes: Vec<&String> = read
            .iter()
            .filter(|line| line.contains("18 lines were left out"))
            .collect();
        assert_eq!((notes.len(), read.len()), (1, 14), "{read:?}");
        assert_eq!((read[0].as_str(), outlet.state().num_left_out), ("line 10", 0));
    }

    #[test]
    fn a_paused_reader_is_waited_for_once_until_it_goes_on() {
        let (outlet, reader) = paused();
        outlet.offer(b"first\n");
        outlet.flush(Duration::from_millis(1));
        // Without an end, if the pause were not known.
        outlet.flush(Duration::MAX);
        let reading = thread::spawn(|| read(reader, "second"));
        outlet.offer(b"second\n");
        assert_eq!(reading.join().unwrap(), ["first", "second"]);
    }

    #[test]
    fn what_is_waited_for_was_written() {
        let (reader, writer) = io::pipe().unwrap();
        let outlet = Arc::new(Outlet::new(MAX));
        let writing = Arc::clone(&outlet);
        outlet.offer(b"longer than all that may wait, and alone: it is not left out for its length, however great that is: ..........\n");
        outlet.offer(b"left out\n");
        thread::spawn(move || writing.write_to(writer));
        outlet.flush(LONG);
        let state = outlet.state();
        assert!(!state.is_pending() && !state.is_stalled && state.num_left_out == 0);
        drop((state, reader));
        // A reader that has gone is not waited for.
        outlet.offer(b"lost\n");
        outlet.flush(LONG);
        assert_eq!(outlet.state().num_left_out, 1);
    }
}
