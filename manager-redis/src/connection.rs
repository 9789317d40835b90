//! One connection: login, what the server is, one command at a time.

use bytes::{Buf, BytesMut};
use manager_api::backend::url;
use redis::{Cmd, RedisError, Value, cmd};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::error::{Asked, Failure};
use crate::hello::{self, Unsuited};
use crate::resp;
use crate::url::Login;

/// What is read at once.
const READ_LEN: usize = 64 << 10;
/// The longest reply while logging in.
const MAX_REPLY_LEN: usize = 64 << 10;

/// A socket of any kind. One virtual call per read or write is nothing beside the system call.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Purpose {
    Publishing,
    /// In the newer protocol, if the server knows it: there the connection can be asked while it is subscribed.
    Listening,
}

/// A connection that is logged in, and what was read from it and not yet used.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) input: BytesMut,
    pub(crate) address: String,
    /// Asks for a sign of life, and for the server's role if it can be asked.
    pub(crate) question: &'static [u8],
    /// When the role was asked for last.
    pub(crate) last_asked: Instant,
    has_tls: bool,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Duplex>, address: String, has_tls: bool) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(READ_LEN),
            address,
            question: hello::PING,
            last_asked: Instant::now(),
            has_tls,
        }
    }

    pub(crate) async fn logged_in(mut self, login: &Login) -> Result<Self, Failure> {
        let Some(password) = &login.password else {
            return Ok(self);
        };
        let mut auth = cmd("AUTH");
        if let Some(username) = &login.username {
            auth.arg(username);
        }
        let answer = self.request(auth.arg(password)).await?;
        answer.map_err(|error| Failure::server(&self.address, Asked::Login, error))?;
        Ok(self)
    }

    /// Makes sure that the server serves `purpose`. If it follows a master that others can be told of, trying again may lead there.
    pub(crate) async fn suited(mut self, purpose: Purpose, follows_master: bool) -> Result<Self, Failure> {
        let (version, question) = match purpose {
            Purpose::Publishing => (2, hello::HELLO_2),
            Purpose::Listening => (3, hello::HELLO_3),
        };
        let judged = match self.request(cmd("HELLO").arg(version)).await? {
            Ok(hello) => {
                self.question = question;
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

    /// Asks a server that knows no HELLO.
    async fn judged_of_old(&mut self) -> Result<Result<(), Unsuited>, Failure> {
        match self.request(&cmd("PING")).await? {
            // A user without that right is logged in all the same.
            Err(error) if error.code() != Some("NOPERM") => {
                return Err(Failure::server(&self.address, Asked::Hello, error));
            }
            _ => {}
        }
        let role = self.request(&cmd("ROLE")).await?;
        // A user without that right, or a server that knows no roles, is taken for suited.
        Ok(role.map_or(Ok(()), |role| hello::judged_by_role(&role)))
    }

    /// Says what the server is, and where its master is if it tells.
    async fn unsuited(&mut self, unsuited: Unsuited) -> Failure {
        let mut master = None;
        if let Unsuited::Replica = unsuited
            && let Ok(Ok(role)) = self.request(&cmd("ROLE")).await
        {
            master = hello::master_of(&role).map(|(host, port)| url::address(&host, port));
        }
        Failure::unsuited(&self.address, unsuited, master.as_deref())
    }

    /// Reads an answer to the [question](Self::question).
    pub(crate) fn check(&self, answer: Result<Value, RedisError>) -> Result<(), Failure> {
        match answer {
            Ok(answer) => hello::judged(&answer).map_err(|unsuited| Failure::demoted(&self.address, unsuited)),
            // A user that may not ping is alive.
            Err(error) if error.code() == Some("NOPERM") => Ok(()),
            Err(error) => Err(Failure::server(&self.address, Asked::Hello, error)),
        }
    }

    /// Tells whether the server can be asked what it is.
    pub(crate) fn knows_role(&self) -> bool {
        self.question != hello::PING
    }

    /// Tells whether messages come in the newer protocol.
    pub(crate) fn is_resp3(&self) -> bool {
        self.question == hello::HELLO_3
    }

    /// Sends the question; the answer is read like all else.
    pub(crate) async fn ask(&mut self) -> Result<(), Failure> {
        self.last_asked = Instant::now();
        self.send(self.question).await
    }

    /// Sends one command and waits for its reply.
    pub(crate) async fn request(&mut self, command: &Cmd) -> Result<Result<Value, RedisError>, Failure> {
        self.send(&command.get_packed_command()).await?;
        loop {
            let len = resp::reply_len(&self.input, MAX_REPLY_LEN)
                .map_err(|_| Failure::another_service(&self.address, &self.input, self.has_tls))?;
            if let Some(len) = len {
                let reply = self.input.split_to(len);
                return Ok(resp::value(&reply));
            }
            self.read().await?;
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| Failure::io(&self.address, error))?;
        let flushed = self.stream.flush().await;
        flushed.map_err(|error| Failure::io(&self.address, error))
    }

    /// Reads what is there, at least one byte.
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

    /// The failure of a connection whose input is not a reply.
    pub(crate) fn not_redis(&self) -> Failure {
        Failure::not_redis(&self.address)
    }
}
