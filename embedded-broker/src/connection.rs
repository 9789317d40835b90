//! The connection of one client: reads commands, answers them in batches, and writes what others publish.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes, BytesMut};
use manager_api::log::{Escaped, LimitedLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use crate::broker::Shared;
use crate::codec;
use crate::outbox::{Outbox, Pace};
use crate::session::{Flow, Session};

/// Bytes asked of the socket at once: enough for hundreds of pipelined commands.
const READ_BYTES: usize = 64 << 10;
/// Frames in one vectored write; the kernel takes 1,024 at most.
const NUM_SLICES: usize = 256;

/// Serves a client until it leaves, breaks the protocol, is too slow, or the broker stops.
pub(crate) async fn serve(shared: Arc<Shared>, id: u64, stream: TcpStream, mut stopped: watch::Receiver<()>) {
    static CUT: LimitedLog = LimitedLog::new();
    // Without it a batch's last reply would wait for an acknowledgement; failing costs latency only.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let outbox = Arc::new(Outbox::new(id, &shared.limits));
    let mut session = Session::new(Arc::clone(&shared), Arc::clone(&outbox));
    let mut writing = std::pin::pin!(write_all(&outbox, writer));
    let no_flush = tokio::select! {
        result = &mut writing => { log_end(id, result); true }
        result = read_all(&shared, &mut session, reader) => { log_end(id, result); false }
        _ = stopped.changed() => false,
        () = outbox.cut() => true, // its socket takes nothing, so there is no waiting for it
    };
    drop(session); // unsubscribes
    outbox.close();
    if !no_flush {
        // A client that does not read its last replies loses them; it is leaving anyway.
        let _ = tokio::time::timeout(shared.limits.flush_timeout, writing).await;
    }
    if outbox.is_cut() {
        shared.counters.slow_clients.fetch_add(1, Ordering::Relaxed);
        let limit_bytes = shared.limits.max_outbox_bytes;
        if let Some(suppressed) = CUT.pass() {
            tracing::warn!(
                client = id,
                limit_bytes,
                suppressed,
                "embedded broker: client reads too slowly, disconnected"
            );
        }
    }
}

fn log_end(id: u64, result: io::Result<()>) {
    match result {
        Ok(()) => tracing::debug!(client = id, "embedded broker: client left"),
        Err(error) => tracing::debug!(client = id, error = ?Escaped(error), "embedded broker: connection ended"),
    }
}

/// Reads and answers commands until the client leaves or must.
async fn read_all(shared: &Shared, session: &mut Session, mut reader: OwnedReadHalf) -> io::Result<()> {
    let mut input = BytesMut::new();
    loop {
        input.reserve(READ_BYTES);
        if reader.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let (num_bytes, flow) = answer_all(shared, session, &input);
        input.advance(num_bytes);
        session.flush();
        if flow == Flow::Close {
            return Ok(());
        }
        if input.is_empty() && input.capacity() > 4 * READ_BYTES {
            input = BytesMut::new(); // one long command does not hold memory for ever
        }
        if let Some(slow) = session.take_slow() {
            slow.caught_up().await;
        }
        if session.outbox().caught_up().await == Pace::Cut {
            return Ok(());
        }
    }
}

/// Answers every complete command of the input: how many bytes they were, and whether the connection goes on.
fn answer_all(shared: &Shared, session: &mut Session, input: &[u8]) -> (usize, Flow) {
    let mut at = 0;
    loop {
        match codec::decode(&input[at..], &shared.limits) {
            Ok(None) => return (at, Flow::Continue),
            Ok(Some((args, num_bytes))) => {
                at += num_bytes;
                if session.answer(&args) == Flow::Close {
                    return (at, Flow::Close);
                }
            }
            Err(error) => {
                shared.counters.protocol_errors.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(client = session.outbox().id, error = ?Escaped(&error), "embedded broker: protocol error");
                session.refuse(&error);
                return (at, Flow::Close);
            }
        }
    }
}

/// Writes the outbox to the socket until it is closed and empty, then says so to the client.
async fn write_all(outbox: &Outbox, mut writer: OwnedWriteHalf) -> io::Result<()> {
    while let Some(mut frames) = outbox.take().await {
        while !frames.is_empty() {
            let batch: Vec<Bytes> = frames.drain(..frames.len().min(NUM_SLICES)).collect();
            write_batch(&mut writer, &batch).await?;
            outbox.written(batch.len(), batch.iter().map(Bytes::len).sum());
        }
    }
    writer.shutdown().await
}

async fn write_batch(writer: &mut OwnedWriteHalf, batch: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|frame| IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let num_bytes = writer.write_vectored(rest).await?;
        if num_bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, num_bytes);
    }
    Ok(())
}
