//! The upgrade of a session that polls.

use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Transport;
use crate::outgoing::{Framing, Outgoing};
use crate::packet::Packet;
use crate::polling::end_with_noop;
use crate::shared::{Shared, wake};
use crate::state::{Driver, Lifecycle, PollPhase, Upgrade, release};
use crate::websocket::frame::{Decoder, Event, Front, OpCode};
use crate::websocket::io::{Io, Terms};
use crate::websocket::linger::close;

const READ_SIZE: usize = 1024;

/// Lets a WebSocket prove that it works. Returns it, and what was read too much, once it carries the session.
pub(crate) async fn probe<I: Io>(mut io: I, read: Vec<u8>, shared: &Arc<Shared>, terms: Terms) -> Option<(I, Vec<u8>)> {
    let probing = begin(shared);
    let rest = match &probing {
        Some(_) => attempt(&mut io, read, shared, terms).await,
        None => None,
    };
    let upgraded = rest.filter(|_| complete(shared));
    drop(probing);
    match &upgraded {
        Some(_) => tracing::debug!(target: "engine_io", "a session moved to a WebSocket"),
        None => tracing::debug!(target: "engine_io", "a WebSocket did not complete its upgrade"),
    }
    match upgraded {
        Some(rest) => Some((io, rest)),
        None => {
            close(io).await;
            None
        }
    }
}

fn begin(shared: &Arc<Shared>) -> Option<Probing<'_>> {
    let mut state = shared.state();
    if state.closed().is_some() {
        return None;
    }
    let polling = state.polling.as_mut()?;
    if polling.upgrade != Upgrade::None {
        return None;
    }
    polling.upgrade = Upgrade::Opened;
    Some(Probing(shared))
}

async fn attempt<I: Io>(io: &mut I, read: Vec<u8>, shared: &Arc<Shared>, terms: Terms) -> Option<Vec<u8>> {
    let closed = std::future::poll_fn(|cx| {
        let mut state = shared.state();
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
        exchanged = tokio::time::timeout(shared.engine.config.upgrade_timeout, exchange(io, read, shared, terms)) => {
            exchanged.ok().flatten()
        }
    }
}

/// Answers the probe, until the client says that it moves.
async fn exchange<I: Io>(io: &mut I, mut buffer: Vec<u8>, shared: &Arc<Shared>, terms: Terms) -> Option<Vec<u8>> {
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
            Step::Answer(packet) => write(io, &packet).await?,
            Step::Probed => answer_probe(io, shared).await?,
            Step::Nothing => {}
            Step::Move => return Some(buffer),
        }
    }
}

/// Answers the probe, and ends the poll that waits, for the client moves only after that.
async fn answer_probe<I: Io>(io: &mut I, shared: &Arc<Shared>) -> Option<()> {
    // First, for another thread may take the poll that follows the answer before this one goes on.
    shared.state().polling.as_mut()?.upgrade = Upgrade::Probed;
    write(io, &Outgoing::packet("3probe")).await?;
    end_with_noop(&mut shared.state(), PollPhase::BeforeProbe);
    Some(())
}

enum Step {
    Read,
    Answer(Outgoing),
    Probed,
    Nothing,
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
        Event::Ping(payload) => Some(Step::Answer(Outgoing::control(OpCode::Pong, payload))),
        Event::Pong | Event::Fragment => Some(Step::Nothing),
        Event::Binary(_) | Event::Close(_) => None,
    }
}

async fn write<I: Io>(io: &mut I, packet: &Outgoing) -> Option<()> {
    let mut bytes = Vec::with_capacity(packet.wire_len(Framing::default()));
    packet.pieces(Framing::default(), 0, |piece| {
        bytes.extend_from_slice(piece);
        true
    });
    io.write_all(&bytes).await.ok()
}

/// Moves the session to the WebSocket; requests that wait are refused.
fn complete(shared: &Arc<Shared>) -> bool {
    let mut state = shared.state();
    if state.closed().is_some() {
        return false;
    }
    let Some(mut polling) = state.polling.take() else {
        return false;
    };
    state.transport = Transport::WebSocket;
    shared.engine.counters.polling.lower();
    if state.heartbeat.waiting {
        // The ping that went out by long-polling is forgiven. If none did, the client counts from its last one.
        shared.restart_heartbeat(&mut state);
    }
    state.reading_paused = false;
    if let Lifecycle::Closing { reason, .. } = state.lifecycle {
        let deadline = shared.engine.clock.after(crate::shared::FLUSH_TIMEOUT);
        state.lifecycle = Lifecycle::Closing { reason, deadline };
        shared.schedule(&mut state, deadline);
    }
    // The runner sees that it was relieved, and ends.
    let runner = match std::mem::replace(&mut state.driver, Driver::WebSocketTask) {
        Driver::Runner { waker, .. } => waker,
        _ => None,
    };
    drop(state);
    // Clients move after their last poll was answered: they do not wait for these any more.
    release(std::mem::take(&mut polling.answers));
    polling.waiters().for_each(std::task::Waker::wake);
    wake(runner);
    true
}

/// Lets another WebSocket try if this one fails.
struct Probing<'a>(&'a Arc<Shared>);

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        if let Some(polling) = &mut self.0.state().polling {
            polling.upgrade = Upgrade::None;
            polling.probe_waker = None;
        }
    }
}
