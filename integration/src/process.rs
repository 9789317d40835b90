//! Child processes whose lines on standard output are events.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// The bytes of a child's standard error that are kept for failures: its last 64 KiB.
const STDERR_KEPT: usize = 64 * 1024;
/// Number of unread lines, beyond which the child waits.
const LINES_AHEAD: usize = 1024;

/// A running child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Reads standard error to its end; `None` once that was seen.
    stderr_reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `command`; `name` is its name in failures.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (sender, lines) = mpsc::channel(LINES_AHEAD);
        tokio::spawn(read_lines(stdout, sender));
        let kept = Arc::default();
        let stderr_reader = tokio::spawn(keep_tail(stderr, Arc::clone(&kept)));
        Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            child,
            lines,
            stderr: kept,
            stderr_reader: Some(stderr_reader),
        }
    }

    /// Returns the next line, or `None` when the process has closed its output.
    ///
    /// # Panics
    ///
    /// When none comes in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no line is lost.
    pub async fn next_line(&mut self, deadline: Duration) -> Option<String> {
        match timeout(deadline, self.lines.recv()).await {
            Ok(line) => line,
            Err(_) => panic!("{} printed nothing for {deadline:?}{}", self.name, self.complaints()),
        }
    }

    /// Returns the next line for which `wanted` holds, skipping others.
    ///
    /// # Panics
    ///
    /// When none comes in time, or the process ends first. The message shows what came instead.
    pub async fn expect_line(&mut self, deadline: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + deadline;
        let mut skipped = Vec::new();
        loop {
            let why = match timeout_at(end, self.lines.recv()).await {
                Ok(Some(line)) if wanted(&line) => return line,
                Ok(Some(line)) => {
                    skipped.push(line);
                    continue;
                }
                Ok(None) => "before it ended".to_owned(),
                Err(_) => format!("within {deadline:?}"),
            };
            let (name, seen) = (&self.name, skipped.join("\n  "));
            panic!(
                "{name} did not print the expected line {why}; it printed:\n  {seen}{}",
                self.complaints()
            );
        }
    }

    /// Writes one line to the process' standard input.
    ///
    /// # Panics
    ///
    /// When the input is closed.
    pub async fn send_line(&mut self, line: &str) {
        let stdin = self
            .stdin
            .as_mut()
            .unwrap_or_else(|| panic!("the input of {} was closed", self.name));
        let whole = format!("{line}\n");
        if let Err(error) = stdin.write_all(whole.as_bytes()).await {
            panic!("{} takes no input: {error}{}", self.name, self.complaints());
        }
    }

    /// Takes the process' standard input.
    ///
    /// # Panics
    ///
    /// When it was closed or taken.
    #[must_use]
    pub fn take_stdin(&mut self) -> ChildStdin {
        let stdin = self.stdin.take();
        stdin.unwrap_or_else(|| panic!("the input of {} was closed", self.name))
    }

    /// Closes the process' standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the process to end, and for the end of its standard error: [`stderr`](Self::stderr) lacks nothing afterwards.
    ///
    /// # Panics
    ///
    /// When it does not end in time, or a child of its own keeps standard error open.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let ended = async {
            let status = self.child.wait().await;
            if let Some(reader) = &mut self.stderr_reader {
                // It never panics.
                let _ = reader.await;
            }
            self.stderr_reader = None;
            status
        };
        match timeout(deadline, ended).await {
            Ok(status) => status.expect("a child of ours can be waited for"),
            Err(_) => panic!("{} still runs after {deadline:?}{}", self.name, self.complaints()),
        }
    }

    /// Sends a signal by its name: `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    ///
    /// # Panics
    ///
    /// When the process has ended already.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().unwrap_or_else(|| panic!("{} has ended already", self.name));
        send_signal(pid, name);
    }

    /// Returns the process id, or `None` once the end of the process was seen.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the end of the standard error of the process so far; all of it once [`wait`](Self::wait) has returned.
    #[must_use]
    pub fn stderr(&self) -> String {
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }

    /// Returns the standard error as the tail of a failure's message.
    pub(crate) fn complaints(&self) -> String {
        let stderr = self.stderr();
        if stderr.is_empty() {
            String::new()
        } else {
            format!("\nits standard error:\n{stderr}")
        }
    }

    /// Returns the name of the process in failures.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Sends the signal `name` to the process `pid`.
///
/// # Panics
///
/// When there is no such process.
pub fn send_signal(pid: u32, name: &str) {
    // The shell's own `kill`: the program of that name is not on every machine.
    let status = std::process::Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
        .status()
        .expect("there is a shell");
    assert!(status.success(), "signal {name} cannot be sent to process {pid}");
}

async fn read_lines(stdout: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut reader = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

async fn keep_tail(mut stderr: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&chunk[..length]);
        let excess = kept.len().saturating_sub(STDERR_KEPT);
        kept.drain(..excess);
    }
}
