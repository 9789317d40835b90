//! `sio listen`: what passes on the channel, for people or as JSON.

mod heard;
mod show;

use std::num::NonZeroU64;
use std::time::Duration;

use manager_api::log::Escaped;
use manager_api::{Incoming, deadline, wire};
use tokio::time::{Instant, sleep_until, timeout};

use crate::failure::Failure;
use crate::output;
use crate::plan::ListenPlan;
use crate::stop::{self, Signal};
use heard::Heard;

/// How long the reader of standard output may take for the last lines, once a signal has ended the command.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of lines that are printed together.
const MAX_BATCH_BYTES: usize = 64 << 10;

/// What ended listening.
enum End {
    Signal(Signal),
    /// The time that the user gave.
    Time,
    /// As many messages as were wanted.
    Count,
}

pub(super) async fn run(plan: ListenPlan) -> Result<(), Failure> {
    let ends_at = deadline::after(plan.limit.unwrap_or(Duration::MAX));
    let backend = plan.broker.backend()?;
    let quiet = plan.broker.quiet;
    // From before it says that it listens.
    let mut stop = std::pin::pin!(stop::requested());
    let subscribed = tokio::select! {
        subscribed = backend.explaining(quiet, Heard::subscribe(&*backend.manager, plan.since)) => subscribed,
        signal = &mut stop => return Err(Failure::signal(signal, "it was not listening yet")),
    };
    let subscription = subscribed.map_err(|error| backend.failure("listen", error))?;
    if !quiet {
        let channel = output::printable(&plan.broker.options.channel);
        output::tell(&format!(
            "sio: listening to channel {channel} at {}; end with Ctrl-C",
            backend.url
        ));
    }
    let mut listening = Listening {
        plan: &plan,
        subscription,
        num_shown: 0,
    };
    let end = listening.until_end(ends_at, stop).await?;
    let Some(end) = end else {
        return Err(Failure::broker(format!("the subscription at {} ended", backend.url)));
    };
    if let Err(error) = backend.manager.close().await {
        tracing::info!(error = ?Escaped(error), "the connection to the broker did not close cleanly");
    }
    listening.verdict(end)
}

/// A subscription of which some messages are shown.
struct Listening<'a> {
    plan: &'a ListenPlan,
    subscription: Heard,
    num_shown: u64,
}

impl Listening<'_> {
    /// Prints messages until something ends that; `None` if the subscription ended by itself.
    async fn until_end(
        &mut self,
        ends_at: Instant,
        mut stop: std::pin::Pin<&mut impl Future<Output = Signal>>,
    ) -> Result<Option<End>, Failure> {
        loop {
            let incoming = tokio::select! {
                incoming = self.subscription.recv() => incoming,
                signal = &mut stop => return Ok(Some(End::Signal(signal))),
                () = sleep_until(ends_at) => return Ok(Some(End::Time)),
            };
            let Some(incoming) = incoming else { return Ok(None) };
            let lines = self.lines(incoming);
            if lines.is_empty() {
                continue;
            }
            let mut printing = std::pin::pin!(output::printed(lines));
            tokio::select! {
                printed = &mut printing => printed?,
                signal = &mut stop => {
                    // The reader may have paused for ever.
                    if let Ok(printed) = timeout(LAST_LINES_PATIENCE, printing).await {
                        printed?;
                    }
                    return Ok(Some(End::Signal(signal)));
                }
            }
            if self.is_complete() {
                return Ok(Some(End::Count));
            }
        }
    }

    /// Returns the lines of a message and of those that came with it: a busy channel is not slowed by a write for each.
    fn lines(&mut self, first: Incoming) -> String {
        let mut lines = self.line(&first);
        while lines.len() < MAX_BATCH_BYTES
            && !self.is_complete()
            && let Some(incoming) = self.subscription.try_recv()
        {
            let line = self.line(&incoming);
            lines.push_str(&line);
        }
        lines
    }

    /// Tells whether as many messages were shown as are wanted.
    fn is_complete(&self) -> bool {
        self.plan.count.is_some_and(|count| self.num_shown >= count.get())
    }

    /// Returns the line of what came; nothing if it is not to be shown.
    fn line(&mut self, incoming: &Incoming) -> String {
        let is_json = self.plan.json;
        let mut line = match incoming {
            Incoming::Message(bytes) => match wire::python::decode(bytes) {
                Ok(envelope) if !self.plan.filter.passes(&envelope) => return String::new(),
                Err(_) if !self.plan.filter.is_open() => return String::new(),
                Ok(envelope) if is_json => output::json_line(show::json(&envelope)),
                Ok(envelope) => show::text(&envelope),
                Err(error) if is_json => output::json_line(show::undecodable_json(&error, bytes.len())),
                Err(error) => show::undecodable_text(&error, bytes.len()),
            },
            Incoming::Gap { reason } if is_json => output::json_line(show::gap_json(reason)),
            Incoming::Gap { reason } => show::gap_text(reason),
            _ => return String::new(),
        };
        self.num_shown += u64::from(matches!(incoming, Incoming::Message(_)));
        line.push('\n');
        line
    }

    /// Returns what the end means: a failure if messages were waited for that did not come.
    fn verdict(&self, end: End) -> Result<(), Failure> {
        let Some(count) = self.plan.count.map(NonZeroU64::get) else {
            return Ok(());
        };
        let came = format!("{} of {count} messages came", self.num_shown);
        match (end, self.plan.limit) {
            (End::Count, _) => Ok(()),
            (End::Signal(signal), _) => Err(Failure::signal(signal, came)),
            (End::Time, limit) => Err(Failure::broker(format!(
                "{came} within {:?}",
                limit.unwrap_or_default()
            ))),
        }
    }
}
