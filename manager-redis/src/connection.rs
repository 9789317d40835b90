//! A connection to a Redis server: login, the server's role, one command at a time.

use bytes::{Buf, BytesMut};
use manager_api::backend::url::Address;
use redis::{Cmd, RedisError, Value, cmd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::error::Failure;
use crate::hello::{self, Unsuited};
use crate::refusal::Asked;
use crate::resp;
use crate::url::Login;

/// The capacity of the read buffer, in bytes.
const READ_LEN: usize = 64 << 10;
/// The maximum length, in bytes, of a reply while logging in.
const MAX_REPLY_LEN: usize = 64 << 10;

/// A socket of any kind. One virtual call per read or write is cheap beside the system call.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Purpose {
    Publishing,
    /// In the newer protocol, if the server supports it: it permits commands while subscribed.
    Listening,
}

/// A connection that is logged in, and the bytes that were read and not yet used.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) input: BytesMut,
    pub(crate) address: String,
    /// The command that requests a sign of life, and the server's role if the server can report it.
    pub(crate) keepalive: &'static [u8],
    /// When it was last sent.
    pub(crate) last_keepalive: Instant,
    /// How often it was sent.
    pub(crate) num_keepalives: u64,
    /// A command was not sent completely, which must be the end.
    is_sending: bool,
    has_tls: bool,
}

impl Connection {
    /// Wraps a socket on which nothing was sent; logging in follows.
    pub(crate) fn new(stream: Box<dyn Duplex>, address: String, has_tls: bool) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(READ_LEN),
            address,
            keepalive: hello::PING,
            last_keepalive: Instant::now(),
            num_keepalives: 0,
            is_sending: false,
            has_tls,
        }
    }

    /// Logs in, if there is a password.
    pub(crate) async fn logged_in(mut self, login: &Login) -> Result<Self, Failure> {
        if login.username.is_none() && login.password.is_none() {
            return Ok(self);
        }
        let mut auth = cmd("AUTH");
        if let Some(username) = &login.username {
            auth.arg(username);
        }
        // A user may need no password, and without a word would be taken for another one.
        let password = login.password.as_deref().unwrap_or_default();
        let answer = self.request(auth.arg(password)).await?;
        answer.map_err(|error| Failure::server(&self.address, Asked::Login, error))?;
        Ok(self)
    }

    /// Checks that the server is suitable for `purpose`. With `follows_master`, another attempt may lead to
    /// the master, so that a replica is not a refusal.
    pub(crate) async fn suited(mut self, purpose: Purpose, follows_master: bool) -> Result<Self, Failure> {
        let (version, keepalive) = match purpose {
            Purpose::Publishing => (2, hello::HELLO_2),
            Purpose::Listening => (3, hello::HELLO_3),
        };
        let judged = match self.request(cmd("HELLO").arg(version)).await? {
            Ok(hello) => {
                self.keepalive = keepalive;
                hello::judged(&hello)
            }
            Err(error) if hello::is_unknown(&error) => self.judged_of_old().await?,
            Err(error) => return Err(Failure::server(&self.address, Asked::Hello, error)),
        };
        match judged {
            Ok(()) => Ok(self),
            Err(Unsuited::Replica) if follows_master => Err(Failure::other(&self.address, "not the master any more")),
            Err(unsuited) => Err(self.unsuited(unsuited).await),
        }
    }

    /// Requests the role of a server without HELLO.
    async fn judged_of_old(&mut self) -> Result<Result<(), Unsuited>, Failure> {
        match self.request(&cmd("PING")).await? {
            // A user without that right is logged in nevertheless.
            Err(error) if error.code() != Some("NOPERM") => {
                return Err(Failure::server(&self.address, Asked::Hello, error));
            }
            _ => {}
        }
        let role = self.request(&cmd("ROLE")).await?;
        // Without the right to ask, or without roles, the server is taken to be suitable.
        Ok(role.map_or(Ok(()), |role| hello::judged_by_role(&role)))
    }

    /// Returns the failure of an unsuitable server, which names its master if it is known.
    async fn unsuited(&mut self, unsuited: Unsuited) -> Failure {
        let mut master = None;
        if let Unsuited::Replica = unsuited
            && let Ok(Ok(role)) = self.request(&cmd("ROLE")).await
        {
            master = hello::master_of(&role).map(|(host, port)| Address { host, port }.to_string());
        }
        Failure::unsuited(&self.address, unsuited, master.as_deref())
    }

    /// Checks the reply to a [keep-alive](Self::keepalive).
    pub(crate) fn check(&self, answer: Result<Value, RedisError>) -> Result<(), Failure> {
        match answer {
            Ok(answer) => hello::judged(&answer).map_err(|unsuited| Failure::demoted(&self.address, unsuited)),
            // The server responds, although the user lacks the right to PING.
            Err(error) if error.code() == Some("NOPERM") => Ok(()),
            Err(error) => Err(Failure::server(&self.address, Asked::Hello, error)),
        }
    }

    /// Returns whether keep-alives report the server's role.
    pub(crate) fn knows_role(&self) -> bool {
        self.keepalive != hello::PING
    }

    /// Returns whether messages arrive in the newer protocol.
    pub(crate) fn is_resp3(&self) -> bool {
        self.keepalive == hello::HELLO_3
    }

    /// Sends a keep-alive; its reply arrives among the messages.
    pub(crate) async fn send_keepalive(&mut self) -> Result<(), Failure> {
        self.last_keepalive = Instant::now();
        self.num_keepalives += 1;
        self.send(self.keepalive).await
    }

    /// Sends one command and waits for its reply.
    pub(crate) async fn request(&mut self, command: &Cmd) -> Result<Result<Value, RedisError>, Failure> {
        self.request_up_to(command, MAX_REPLY_LEN).await
    }

    /// As [`request`](Self::request), with a reply of at most `max_len` bytes.
    pub(crate) async fn request_up_to(
        &mut self,
        command: &Cmd,
        max_len: usize,
    ) -> Result<Result<Value, RedisError>, Failure> {
        self.send(&command.get_packed_command()).await?;
        self.reply_up_to(max_len).await
    }

    /// Waits for the reply to a command that was sent.
    pub(crate) async fn reply(&mut self) -> Result<Result<Value, RedisError>, Failure> {
        self.reply_up_to(MAX_REPLY_LEN).await
    }

    /// Waits for a reply of at most `max_len` bytes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing that was read.
    async fn reply_up_to(&mut self, max_len: usize) -> Result<Result<Value, RedisError>, Failure> {
        loop {
            let len = resp::reply_len(&self.input, max_len)
                .map_err(|_| Failure::another_service(&self.address, &self.input, self.has_tls))?;
            if let Some(len) = len {
                let reply = self.input.split_to(len);
                return Ok(resp::value(&reply));
            }
            self.read().await?;
        }
    }

    /// Sends a command.
    ///
    /// # Errors
    ///
    /// Also if an earlier one was given up before it was sent completely: the server would take this one for its end.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if std::mem::replace(&mut self.is_sending, true) {
            return Err(Failure::other(&self.address, "a command was not sent completely"));
        }
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| Failure::io(&self.address, error))?;
        self.is_sending = false;
        let flushed = self.stream.flush().await;
        flushed.map_err(|error| Failure::io(&self.address, error))
    }

    /// Reads at least one byte.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn read(&mut self) -> Result<(), Failure> {
        self.input.reserve(READ_LEN / 4);
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(Failure::closed(&self.address)),
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::io(&self.address, error)),
        }
    }

    /// Discards the first `len` bytes that were read.
    pub(crate) fn consume(&mut self, len: usize) {
        self.input.advance(len);
    }

    /// Returns the failure of a connection whose input is not a reply.
    pub(crate) fn not_redis(&self) -> Failure {
        Failure::not_redis(&self.address)
    }
}
