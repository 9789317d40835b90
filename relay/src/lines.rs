//! The source of lines: standard input, or a file. Each line is a record.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::lock::Unpoisoned;
use manager_api::source::{Fault, Place, Position, Reading, Record, Source, SourceStatus};
use manager_api::{Error, ErrorKind};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// Bytes read at once; the lines among them are handed out together.
const READ_BYTES: usize = 32 << 10;
/// Readings ahead of what is under way.
const NUM_READINGS: usize = 2;

/// Lines as records, in their order. Blank ones are passed over.
///
/// Lines are not kept anywhere: an acknowledgement means nothing, and what was read when the process is killed is lost
/// unless the same text is read again. So are lines that were read ahead, at most about 100 KiB and one line, when the
/// source is dropped before its end: at SIGTERM, too. A line ends with a line feed, with or without a carriage return.
#[derive(Debug)]
pub struct LinesSource {
    readings: AsyncMutex<mpsc::Receiver<Result<Reading, Error>>>,
    dead: Arc<DeadLines>,
    has_ended: AtomicBool,
}

impl LinesSource {
    /// Starts to read on a thread, which ends with the text, or at the next line after the source was dropped. Lines over
    /// `max_line_bytes` become records without a body, of which nothing is kept.
    ///
    /// # Errors
    ///
    /// If the system cannot create a thread.
    pub fn start(
        name: &str,
        text: impl Read + Send + 'static,
        dead: DeadLines,
        max_line_bytes: usize,
    ) -> io::Result<Self> {
        let (sender, readings) = mpsc::channel(NUM_READINGS);
        let mut lines = Lines {
            name: name.into(),
            number: 0,
            line: Vec::new(),
            len: 0,
            max_line_bytes,
        };
        let read = move || lines.read_all(BufReader::with_capacity(READ_BYTES, text), &sender);
        // Not joined: it may wait for a terminal when the process is done.
        thread::Builder::new().name("lines".into()).spawn(read)?;
        Ok(Self {
            readings: AsyncMutex::new(readings),
            dead: Arc::new(dead),
            has_ended: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Source for LinesSource {
    async fn next(&self) -> Result<Reading, Error> {
        let reading = self.readings.lock().await.recv().await;
        if matches!(reading, None | Some(Ok(Reading::End))) {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        reading.unwrap_or(Ok(Reading::End))
    }

    async fn acknowledge(&self, _positions: &[Position]) -> Result<(), Error> {
        Ok(())
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error> {
        let (dead, line) = (self.dead.clone(), record.dead_letter(reason) + "\n");
        let written = tokio::task::spawn_blocking(move || dead.write(line.as_bytes())).await;
        let text = |error: &dyn std::fmt::Display| format!("cannot write a dead letter: {error}");
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::new(ErrorKind::Publish, text(&error)).with_source(error)),
            Err(error) => Err(Error::new(ErrorKind::Publish, text(&error))),
        }
    }

    async fn close(&self, _limit: Duration) -> Result<(), Error> {
        Ok(())
    }

    fn status(&self) -> SourceStatus {
        SourceStatus::new(!self.has_ended.load(Ordering::Relaxed), None)
    }
}

/// Where the dead letters of lines are written: one JSON object in each line, of
/// [`Record::dead_letter`].
pub struct DeadLines(Mutex<Box<dyn Write + Send>>);

impl DeadLines {
    /// Writes them to a file, standard error or anything else.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(writer)))
    }

    /// Writes one line. Blocks as long as the writer does.
    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unpoisoned();
        writer.write_all(line)?;
        writer.flush()
    }
}

impl std::fmt::Debug for DeadLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeadLines")
    }
}

/// Cuts text into lines. Holds one incomplete line, and no more of it than the limit.
struct Lines {
    name: Arc<str>,
    number: u64,
    line: Vec<u8>,
    /// The length of the incomplete line, also of what was not kept.
    len: usize,
    max_line_bytes: usize,
}

impl Lines {
    /// Reads to the end of the text, or until the receiver is gone.
    fn read_all(&mut self, mut text: impl BufRead, sender: &mpsc::Sender<Result<Reading, Error>>) {
        loop {
            let reading = match self.read(&mut text) {
                Ok(Some(records)) if records.is_empty() => continue,
                Ok(Some(records)) => Ok(Reading::Records(records)),
                Ok(None) => Ok(Reading::End),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let text = format!("{} cannot be read: {error}", self.name);
                    Err(Error::new(ErrorKind::Connect, text).with_source(error).refused())
                }
            };
            let is_last = !matches!(reading, Ok(Reading::Records(_)));
            // A receiver that is gone does not want more.
            if sender.blocking_send(reading).is_err() || is_last {
                return;
            }
        }
    }

    /// Reads once; `None` at the end of the text.
    fn read(&mut self, text: &mut impl BufRead) -> io::Result<Option<Vec<Record>>> {
        let bytes = text.fill_buf()?;
        let len = bytes.len();
        let mut records = Vec::new();
        if len == 0 {
            // What stands after the last line feed is a line, too.
            records.extend(self.take());
            return Ok((!records.is_empty()).then_some(records));
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.keep(piece);
            if piece.ends_with(b"\n") {
                records.extend(self.take());
            }
        }
        text.consume(len);
        Ok(Some(records))
    }

    /// Keeps a piece of a line, unless that is too long already.
    fn keep(&mut self, piece: &[u8]) {
        self.len += piece.len();
        // The line feed, and a carriage return before it, do not count.
        match self.len <= self.max_line_bytes.saturating_add(2) {
            true => self.line.extend_from_slice(piece),
            false => self.line = Vec::new(),
        }
    }

    /// Takes the line that is complete; `None` if it is blank.
    fn take(&mut self) -> Option<Record> {
        let (line, len) = (std::mem::take(&mut self.line), std::mem::take(&mut self.len));
        if len == 0 {
            return None;
        }
        self.number += 1;
        let place = Place::Line(self.number);
        let name = self.name.clone();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = match self.number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            _ => line,
        };
        let mut record = Record::new(Position { name, place }, Bytes::copy_from_slice(line));
        if len > self.max_line_bytes && line.is_empty() || line.len() > self.max_line_bytes {
            record.body = Bytes::new();
            record.fault = Some(Fault::TooLarge(len));
            return Some(record);
        }
        (!line.trim_ascii().is_empty()).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a text, each with its number, or with its length if it is too long.
    fn lines(text: &'static [u8], buffer: usize) -> Vec<(u64, Result<String, usize>)> {
        let mut text = BufReader::with_capacity(buffer, text);
        let mut lines = Lines {
            name: "text".into(),
            number: 0,
            line: Vec::new(),
            len: 0,
            max_line_bytes: 10,
        };
        let mut found = Vec::new();
        while let Some(records) = lines.read(&mut text).unwrap() {
            found.extend(records.into_iter().map(|record| {
                let Place::Line(number) = record.position.place else {
                    panic!("not a line")
                };
                match record.fault {
                    Some(Fault::TooLarge(len)) => (number, Err(len)),
                    _ => (number, Ok(String::from_utf8_lossy(&record.body).into_owned())),
                }
            }));
        }
        found
    }

    #[test]
    fn lines_are_cut_the_same_however_they_arrive() {
        let text = b"\xef\xbb\xbfa\r\n\n \n0123456789\r\n0123456789a\nthe last";
        let expected = vec![
            (1, Ok("a".to_owned())),
            (4, Ok("0123456789".to_owned())),
            (5, Err(12)),
            (6, Ok("the last".to_owned())),
        ];
        for buffer in [1, 2, 3, 7, 100] {
            assert_eq!(lines(text, buffer), expected, "{buffer}");
        }
        assert_eq!(lines(b"", 7), []);
    }

    #[tokio::test]
    async fn dead_letters_are_lines_of_json_with_the_reason() {
        let (writer, path) = tempfile::NamedTempFile::new().unwrap().into_parts();
        let source = LinesSource::start("text", &b"a\n\xff"[..], DeadLines::to(writer), 10).unwrap();
        let Reading::Records(records) = source.next().await.unwrap() else {
            panic!("no records")
        };
        source.dead_letter(&records[0], "bad \"thing\"").await.unwrap();
        let Reading::Records(last) = source.next().await.unwrap() else {
            panic!("no records")
        };
        source.dead_letter(&last[0], "r").await.unwrap();
        assert!(source.status().is_connected);
        assert!(matches!(source.next().await, Ok(Reading::End)));
        assert!(!source.status().is_connected);
        let text = std::fs::read_to_string(&path).unwrap();
        let first = r#"{"body":"a","position":"text, line 1","reason":"bad \"thing\""}"#;
        let second = r#"{"body_base64":"/w==","position":"text, line 2","reason":"r"}"#;
        assert_eq!(text, format!("{first}\n{second}\n"));
    }
}
