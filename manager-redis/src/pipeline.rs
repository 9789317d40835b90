//! The pipeline: sends queued messages over one connection without waiting, and matches the replies.

mod clock;
mod errors;

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use manager_api::backend::Job;
use memchr::memchr;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::Connection;
use crate::error::Failure;
use crate::publish::Queue;
use crate::resp;
use crate::topics::routing::{Routed, Routing};

/// The number of bytes encoded ahead of the socket after which no further message is encoded.
const MAX_ENCODED: usize = 256 << 10;
/// The capacity, in bytes, above which an empty output buffer is released.
const MAX_SPARE: usize = 1 << 20;
/// The maximum length, in bytes, of a reply to PUBLISH or PING; an error text is a line.
const MAX_REPLY_LEN: usize = 64 << 10;
/// Tells a node that the next command is for a slot that is moving to it.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
/// The interval at which a busy server is asked for its role.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// One connection in use, polled until it is lost.
pub(crate) struct Pipeline<'a> {
    queue: &'a Queue,
    /// Whether it takes messages from the queue, and not only those that are handed to it.
    pub(crate) takes_queue: bool,
    pub(crate) routing: Routing,
    connection: Connection,
    /// A PUBLISH command up to the length of its message.
    head: Vec<u8>,
    output: BytesMut,
    /// The numbers of bytes encoded and written since the connection was opened.
    num_encoded: u64,
    num_written: u64,
    needs_flush: bool,
    flights: VecDeque<Flight>,
    /// When the server last sent anything, or a reply became due.
    last_sign: Instant,
    has_yielded: bool,
    timer: Pin<Box<Sleep>>,
}

/// One command without its reply.
struct Flight {
    begins_at: u64,
    /// `None` for a keep-alive, and for a message whose deadline has passed.
    job: Option<Job>,
    is_keepalive: bool,
    num_redirections: u8,
}

/// Jobs that were accepted and not yet released.
#[derive(Default)]
struct Accepted {
    count: usize,
    cost: usize,
}

impl<'a> Pipeline<'a> {
    /// Creates a pipeline on a connection that is ready to publish.
    pub(crate) fn new(queue: &'a Queue, connection: Connection, takes_queue: bool) -> Self {
        let channel = &queue.link.options.common.channel;
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n$", channel.len());
        Self {
            queue,
            takes_queue,
            routing: Routing::default(),
            connection,
            head: head.into_bytes(),
            output: BytesMut::new(),
            num_encoded: 0,
            num_written: 0,
            needs_flush: false,
            flights: VecDeque::new(),
            last_sign: Instant::now(),
            has_yielded: false,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Sends and receives as much as possible; ready when the connection is lost, or the queue is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Arc<Failure>>> {
        self.queue.register(cx.waker());
        if self.yields_to_callers(cx) {
            return Poll::Pending;
        }
        loop {
            let has_filled = self.fill();
            let has_written = self.poll_write(cx)?;
            let has_read = self.poll_read(cx)?;
            if !(has_filled || has_written || has_read) {
                break;
            }
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            self.check_time()?;
            self.poll_write(cx)?;
        }
        match self.is_idle() && self.queue.is_over() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    /// Returns whether each command was answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    /// Returns the address of the server, human-readable.
    pub(crate) fn address(&self) -> &str {
        &self.connection.address
    }

    /// Yields once to the callers that are ready to run, so that their messages are sent together.
    fn yields_to_callers(&mut self, cx: &mut Context<'_>) -> bool {
        self.has_yielded = !self.has_yielded && self.takes_queue && self.queue.has_jobs();
        if self.has_yielded {
            cx.waker().wake_by_ref();
        }
        self.has_yielded
    }

    /// Encodes queued messages, as many as may be in flight.
    fn fill(&mut self) -> bool {
        if self.is_doubtful() && self.has_messages() {
            // Before the messages: those that a replica received do not count as accepted.
            self.send_keepalive();
        }
        let before = self.flights.len();
        let max_unanswered = self.queue.link.options.max_unanswered.max(1);
        while self.output.len() < MAX_ENCODED && self.flights.len() < max_unanswered {
            let Some(routed) = self.next_message() else { break };
            if routed.is_asking {
                self.send(ASKING, false);
            }
            let (begins_at, job) = (self.num_encoded, routed.job);
            let len = self.output.len();
            let head = if job.head.is_empty() { &self.head } else { &*job.head };
            self.output.put_slice(head);
            put_number(&mut self.output, job.message.len());
            self.output.put_slice(b"\r\n");
            self.output.put_slice(&job.message);
            self.output.put_slice(b"\r\n");
            self.num_encoded += (self.output.len() - len) as u64;
            let flight = Flight {
                begins_at,
                job: Some(job),
                is_keepalive: false,
                num_redirections: routed.num_redirections,
            };
            self.expect_reply(flight);
        }
        self.flights.len() > before
    }

    /// Returns whether a message is ready to be sent.
    fn has_messages(&self) -> bool {
        !self.routing.waiting.is_empty() || (self.takes_queue && self.queue.has_jobs())
    }

    /// Takes the next message: one that was handed to this connection, or else the first of the queue.
    fn next_message(&mut self) -> Option<Routed> {
        if let Some(routed) = self.routing.waiting.pop_front() {
            return Some(routed);
        }
        let job = self.takes_queue.then(|| self.queue.next_job())?;
        job.map(Routed::from)
    }

    /// Records a command that was encoded, of which the reply is to come.
    fn expect_reply(&mut self, flight: Flight) {
        if self.flights.is_empty() {
            self.last_sign = Instant::now();
        }
        self.flights.push_back(flight);
    }

    /// Returns whether the server's role was last reported long ago.
    fn is_doubtful(&self) -> bool {
        let interval = self.queue.link.options.keepalive_interval;
        let since = self.connection.last_keepalive.elapsed();
        self.connection.knows_role() && !interval.is_zero() && since >= interval.min(ASK_INTERVAL)
    }

    /// Encodes a keep-alive.
    fn send_keepalive(&mut self) {
        self.connection.last_keepalive = Instant::now();
        self.send(self.connection.keepalive, true);
    }

    /// Encodes a command that is not a message.
    fn send(&mut self, command: &[u8], is_keepalive: bool) {
        let begins_at = self.num_encoded;
        self.output.put_slice(command);
        self.num_encoded += command.len() as u64;
        self.expect_reply(Flight {
            begins_at,
            job: None,
            is_keepalive,
            num_redirections: 0,
        });
    }

    /// Writes encoded commands; returns whether any bytes were written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Arc<Failure>> {
        let mut has_written = false;
        while !self.output.is_empty() {
            let stream = Pin::new(&mut self.connection.stream);
            match stream.poll_write(cx, &self.output) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(self.lost(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => {
                    self.output.advance(len);
                    self.num_written += len as u64;
                    has_written = true;
                    self.needs_flush = true;
                }
                Poll::Ready(Err(error)) => return Err(self.lost(error)),
            }
        }
        if self.output.is_empty() && self.output.capacity() > MAX_SPARE {
            self.output = BytesMut::new();
        }
        // TLS may buffer what was written.
        if self.needs_flush {
            match Pin::new(&mut self.connection.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.needs_flush = false,
                Poll::Ready(Err(error)) => return Err(self.lost(error)),
                Poll::Pending => {}
            }
        }
        Ok(has_written)
    }

    /// Reads replies; returns whether any bytes were read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Arc<Failure>> {
        match pin!(self.connection.read()).poll(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(read) => read.map_err(Arc::new)?,
        }
        self.last_sign = Instant::now();
        self.take_replies()?;
        Ok(true)
    }

    /// Notifies the callers whose replies were read.
    fn take_replies(&mut self) -> Result<(), Arc<Failure>> {
        let mut at = 0;
        let mut accepted = Accepted::default();
        let taken = loop {
            match self.reply_len(at) {
                Ok(Some(len)) => {
                    if let Err(failure) = self.take_reply(at, len, &mut accepted) {
                        break Err(failure);
                    }
                    at += len;
                }
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        self.connection.consume(at);
        if accepted.count > 0 {
            self.queue.release(accepted.count, accepted.cost);
        }
        taken
    }

    /// Matches one reply with the oldest command in flight.
    fn take_reply(&mut self, at: usize, len: usize, accepted: &mut Accepted) -> Result<(), Arc<Failure>> {
        let reply = &self.connection.input[at..at + len];
        let Some(flight) = self.flights.pop_front() else {
            return Err(Arc::new(self.connection.not_redis()));
        };
        self.routing.num_replies += 1;
        if flight.is_keepalive {
            return self.connection.check(resp::value(reply)).map_err(Arc::new);
        }
        let Some(mut job) = flight.job else { return Ok(()) };
        match reply[0] {
            b':' | b'$' => {
                accepted.count += 1;
                accepted.cost += job.cost();
                self.queue.accept(&mut job);
                if !job.head.is_empty() {
                    self.fail_overtaken(&job.head);
                }
            }
            b'-' => {
                let error = resp::error(reply);
                self.take_error(job, flight.num_redirections, error);
            }
            _ => {
                let failure = Arc::new(self.connection.not_redis());
                self.queue.fail(job, failure.lost());
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Returns the length of the reply that begins at `at`, `None` while it is incomplete.
    fn reply_len(&self, at: usize) -> Result<Option<usize>, Arc<Failure>> {
        let input = &self.connection.input[at..];
        // Almost every reply is the number of receivers.
        if let Some(b':') = input.first()
            && let Some(end) = memchr(b'\n', &input[..input.len().min(16)])
        {
            return Ok(Some(end + 1));
        }
        if input.is_empty() {
            return Ok(None);
        }
        resp::reply_len(input, MAX_REPLY_LEN).map_err(|_| Arc::new(self.connection.not_redis()))
    }

    /// Fails the jobs that were sent and returns the others, once the connection is lost.
    pub(crate) fn abandon(&mut self, failure: &Arc<Failure>) -> Vec<Job> {
        let num_written = self.num_written;
        let is_sent = |flight: &Flight| flight.begins_at < num_written;
        let num_sent = self.flights.iter().take_while(|flight| is_sent(flight)).count();
        let unsent = self.flights.split_off(num_sent);
        for job in self.flights.drain(..).filter_map(|flight| flight.job) {
            self.queue.fail(job, failure.lost());
        }
        let unsent = unsent.into_iter().filter_map(|flight| flight.job);
        unsent.chain(self.routing.take_all()).collect()
    }

    /// Creates the failure of the socket.
    fn lost(&self, error: std::io::Error) -> Arc<Failure> {
        Arc::new(Failure::io(&self.connection.address, error))
    }
}

/// Appends `number` in decimal.
fn put_number(output: &mut BytesMut, mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.put_slice(&digits[at..]);
}
