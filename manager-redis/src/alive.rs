//! Reading from a connection on which the server sends by itself: keep-alives, and messages of any length.

use std::time::Duration;

use bytes::Bytes;
use manager_api::backend::seconds;
use manager_api::deadline;
use tokio::time::{timeout, timeout_at};

use crate::config::RedisOptions;
use crate::connection::Connection;
use crate::error::Failure;

/// The minimum length, in bytes, of a message that is taken out of the read buffer instead of being copied. A shorter
/// one must not keep that buffer alive.
const MIN_SHARED: usize = 32 << 10;
/// The bytes that end a line, and a message.
pub(crate) const LINE_END: usize = 2;

impl Connection {
    /// Takes a message that was read completely: its bytes begin at `begins_at`, and a line end follows.
    pub(crate) fn take_message(&mut self, begins_at: usize, len: usize) -> Bytes {
        let ends_at = begins_at + len;
        let message = match len >= MIN_SHARED {
            true => self.input.split_to(ends_at).freeze().slice(begins_at..),
            false => {
                let message = Bytes::copy_from_slice(&self.input[begins_at..ends_at]);
                self.consume(ends_at);
                message
            }
        };
        self.consume(LINE_END);
        message
    }

    /// Reads and discards `len` bytes.
    pub(crate) async fn discard(&mut self, len: usize, options: &RedisOptions) -> Result<(), Failure> {
        let mut left = self.discard_input(len);
        while left > 0 {
            self.read_alive(options).await?;
            left = self.discard_input(left);
        }
        Ok(())
    }

    /// Discards at most `len` bytes that were read; returns how many are still to come.
    pub(crate) fn discard_input(&mut self, len: usize) -> usize {
        let now = len.min(self.input.len());
        self.consume(now);
        len - now
    }

    /// Reads at least one byte. Asks for a sign of life when nothing comes, and fails when even that does not come. A
    /// busy server is asked as well, so that one that was demoted is left.
    pub(crate) async fn read_alive(&mut self, options: &RedisOptions) -> Result<(), Failure> {
        let interval = options.keepalive_interval;
        if interval.is_zero() {
            return self.read().await;
        }
        let is_due = self.knows_role() && self.last_keepalive.elapsed() >= interval;
        if !is_due && let Ok(read) = timeout(interval, self.read()).await {
            return read;
        }
        let until = deadline::after(options.keepalive_timeout);
        let answered = async {
            self.send_keepalive().await?;
            self.read().await
        };
        let answered = timeout_at(until, answered).await;
        answered.unwrap_or_else(|_| Err(self.silent(options.keepalive_timeout)))
    }

    /// Returns the failure of a server that did not reply.
    pub(crate) fn silent(&self, limit: Duration) -> Failure {
        Failure::other(&self.address, format!("no answer within {}", seconds(limit)))
    }
}
