//! The upgrade of a session from long-polling to a WebSocket.

use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Transport;
use crate::connection::driver::{Driver, wake};
use crate::connection::polling::{PollPhase, Upgrade, release};
use crate::connection::session::{EngineSession, FLUSH_TIMEOUT};
use crate::log::quietly;
use crate::outgoing::{Framing, Outgoing};
use crate::packet::Packet;
use crate::websocket::frame::{Decoder, Event, Front, OpCode};
use crate::websocket::linger::close;
use crate::websocket::stream::{Io, Terms};

/// The bytes that are read at once; frames of an upgrade are short.
const READ_SIZE: usize = 1024;

/// Waits until a WebSocket has proved that it works. Returns it, and the bytes that were read too much, once it
/// carries the session.
pub(crate) async fn probe<I: Io>(
    mut io: I,
    read: Vec<u8>,
    session: &Arc<EngineSession>,
    terms: Terms,
) -> Option<(I, Vec<u8>)> {
    let probing = begin(session);
    let rest = match &probing {
        Some(_) => attempt(&mut io, read, session, terms).await,
        None => None,
    };
    let upgraded = rest.filter(|_| complete(session));
    drop(probing);
    match &upgraded {
        Some(_) => quietly(|| tracing::debug!(target: "engine_io", "a session moved to a WebSocket")),
        None => quietly(|| tracing::debug!(target: "engine_io", "a WebSocket did not complete its upgrade")),
    }
    match upgraded {
        Some(rest) => Some((io, rest)),
        None => {
            close(io).await;
            None
        }
    }
}

/// Marks the upgrade as begun; `None` if there is nothing to upgrade, or another WebSocket tries.
fn begin(session: &Arc<EngineSession>) -> Option<Probing<'_>> {
    let mut state = session.state();
    if state.closed().is_some() {
        return None;
    }
    let polling = state.polling.as_mut()?;
    if polling.upgrade != Upgrade::None {
        return None;
    }
    polling.upgrade = Upgrade::Opened;
    Some(Probing(session))
}

/// Exchanges frames until the client moves, the time is over, or the session closes.
async fn attempt<I: Io>(io: &mut I, read: Vec<u8>, session: &Arc<EngineSession>, terms: Terms) -> Option<Vec<u8>> {
    let closed = std::future::poll_fn(|cx| {
        let mut state = session.state();
        if state.closed().is_some() {
            return Poll::Ready(());
        }
        if let Some(polling) = &mut state.polling {
            polling.probe_waker = Some(cx.waker().clone());
        }
        Poll::Pending
    });
    tokio::select! {
        biased;
        () = closed => None,
        exchanged = tokio::time::timeout(session.core.config.upgrade_timeout, exchange(io, read, session, terms)) => {
            exchanged.ok().flatten()
        }
    }
}

/// Exchanges frames until the client says that it moves to the WebSocket; returns the bytes read
/// too much.
async fn exchange<I: Io>(
    io: &mut I,
    mut buffer: Vec<u8>,
    session: &Arc<EngineSession>,
    terms: Terms,
) -> Option<Vec<u8>> {
    let mut decoder = Decoder::default();
    let mut chunk = [0; READ_SIZE];
    loop {
        let (step, used) = match decoder.next(&mut buffer, READ_SIZE, terms.deflate).ok()? {
            Front::Incomplete(_) => (Step::Read, 0),
            Front::Event(event, used) => (step(&event)?, used),
        };
        buffer.drain(..used);
        match step {
            Step::Read => {
                let count = io.read(&mut chunk).await.ok()?;
                if count == 0 {
                    return None;
                }
                buffer.extend_from_slice(&chunk[..count]);
            }
            Step::Write(packet) => write(io, &packet).await?,
            Step::Probed => answer_probe(io, session).await?,
            Step::Nothing => {}
            Step::Move => return Some(buffer),
        }
    }
}

/// Answers the probe with a pong, and ends the poll that waits: the client moves only after that.
async fn answer_probe<I: Io>(io: &mut I, session: &Arc<EngineSession>) -> Option<()> {
    // First, because another thread may handle the poll that follows the pong before this one goes
    // on.
    session.state().polling.as_mut()?.upgrade = Upgrade::Probed;
    write(io, &Outgoing::packet("3probe")).await?;
    let mut state = session.state();
    let polling = state.polling.as_mut();
    // The waker only schedules a task.
    wake(polling.and_then(|polling| polling.end_get_with_noop(PollPhase::BeforeProbe)));
    Some(())
}

/// The effect of a frame.
enum Step {
    /// More bytes are needed.
    Read,
    /// A frame is sent.
    Write(Outgoing),
    /// The probe is answered.
    Probed,
    /// The frame is ignored.
    Nothing,
    /// The client moves to the WebSocket.
    Move,
}

/// Decides what a frame leads to; none but a few are allowed.
fn step(event: &Event<'_>) -> Option<Step> {
    match event {
        Event::Text(text) => match Packet::parse(text) {
            Ok(Packet::Ping("probe")) => Some(Step::Probed),
            Ok(Packet::Upgrade) => Some(Step::Move),
            _ => None,
        },
        Event::Ping(payload) => Some(Step::Write(Outgoing::control(OpCode::Pong, payload))),
        Event::Pong | Event::Fragment => Some(Step::Nothing),
        Event::Binary(_) | Event::Close(_) => None,
    }
}

/// Writes a packet; `None` if the connection broke.
async fn write<I: Io>(io: &mut I, packet: &Outgoing) -> Option<()> {
    let mut bytes = Vec::with_capacity(packet.wire_len(Framing::default()));
    packet.pieces(Framing::default(), 0, |piece| {
        bytes.extend_from_slice(piece);
        true
    });
    io.write_all(&bytes).await.ok()
}

/// Moves the session to the WebSocket; requests that wait are refused.
fn complete(session: &Arc<EngineSession>) -> bool {
    let mut state = session.state();
    if state.closed().is_some() {
        return false;
    }
    let Some(mut polling) = state.polling.take() else {
        return false;
    };
    state.transport = Transport::WebSocket;
    session.core.counters.polling.lower();
    if state.heartbeat.awaits_pong() {
        // The ping that left by long-polling needs no pong. If none did, the client counts from its
        // last one.
        session.restart_heartbeat(&mut state);
    }
    state.reset_reading();
    let deadline = session.core.clock.after(FLUSH_TIMEOUT);
    if state.lifecycle.set_deadline(deadline) {
        session.schedule(&mut state, deadline);
    }
    // The runner sees that it was replaced, and ends.
    let runner = match std::mem::replace(&mut state.driver, Driver::WebSocketTask) {
        Driver::Runner { waker, .. } => waker,
        _ => None,
    };
    drop(state);
    // Clients move after the response to their last poll: they do not wait for these any more.
    release(std::mem::take(&mut polling.bodies));
    polling.waiters().for_each(std::task::Waker::wake);
    wake(runner);
    true
}

/// A guard that allows another WebSocket to try if this one fails.
struct Probing<'a>(&'a Arc<EngineSession>);

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        if let Some(polling) = &mut self.0.state().polling {
            polling.upgrade = Upgrade::None;
            polling.probe_waker = None;
        }
    }
}
