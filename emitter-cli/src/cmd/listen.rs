//! `sio listen`: what passes on the channel, for people or as JSON.

mod show;

use std::time::Duration;

use manager_api::log::Escaped;
use manager_api::{Incoming, wire};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::output;
use crate::plan::ListenPlan;
use crate::stop;

/// How long the reader of standard output may take for the last lines, once a signal has ended the command.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of lines that are printed together.
const MAX_BATCH_BYTES: usize = 64 << 10;

pub(super) async fn run(plan: ListenPlan) -> Result<(), Failure> {
    let backend = plan.broker.backend()?;
    let quiet = plan.broker.quiet;
    // From before it says that it listens.
    let mut stop = std::pin::pin!(stop::requested());
    let subscribed = tokio::select! {
        subscribed = backend.explaining(quiet, backend.manager.subscribe()) => subscribed,
        signal = &mut stop => return Err(Failure::signal(signal, "it was not listening yet")),
    };
    let mut subscription = subscribed.map_err(|error| backend.failure("listen", error))?;
    if !quiet {
        let channel = output::printable(&plan.broker.options.channel);
        output::tell(&format!(
            "sio: listening to channel {channel} at {}; end with Ctrl-C",
            backend.url
        ));
    }
    loop {
        let incoming = tokio::select! {
            incoming = subscription.recv() => incoming,
            _ = &mut stop => break,
        };
        let Some(incoming) = incoming else {
            return Err(Failure::broker(format!("the subscription at {} ended", backend.url)));
        };
        let mut lines = line(&incoming, plan.json);
        // What came together is printed together: a busy channel is not slowed by a write for each line.
        while lines.len() < MAX_BATCH_BYTES
            && let Some(incoming) = subscription.try_recv()
        {
            lines.push_str(&line(&incoming, plan.json));
        }
        let mut printing = std::pin::pin!(output::printed(lines));
        tokio::select! {
            printed = &mut printing => printed?,
            _ = &mut stop => {
                // The reader may have paused for ever.
                if let Ok(printed) = timeout(LAST_LINES_PATIENCE, printing).await {
                    printed?;
                }
                break;
            }
        }
    }
    if let Err(error) = backend.manager.close().await {
        tracing::info!(error = ?Escaped(error), "the connection to the broker did not close cleanly");
    }
    Ok(())
}

fn line(incoming: &Incoming, is_json: bool) -> String {
    let mut line = match incoming {
        Incoming::Message(bytes) => match (wire::decode(bytes), is_json) {
            (Ok(envelope), true) => output::json_line(show::json(&envelope)),
            (Ok(envelope), false) => show::text(&envelope),
            (Err(error), true) => output::json_line(show::undecodable_json(&error, bytes.len())),
            (Err(error), false) => show::undecodable_text(&error, bytes.len()),
        },
        Incoming::Gap { reason } if is_json => output::json_line(show::gap_json(reason)),
        Incoming::Gap { reason } => show::gap_text(reason),
        _ => return String::new(),
    };
    line.push('\n');
    line
}
