//! `sio listen`: what passes on the channel, for people or as JSON.

mod show;

use manager_api::{Incoming, wire};

use crate::failure::Failure;
use crate::output;
use crate::plan::ListenPlan;
use crate::stop;

pub(super) async fn run(plan: ListenPlan) -> Result<(), Failure> {
    let backend = plan.broker.backend()?;
    let subscribed = backend.manager.subscribe().await;
    let mut subscription = subscribed.map_err(|error| backend.failure("listen", error))?;
    tracing::info!(broker = %backend.url, channel = plan.broker.options.channel, "listening");
    let mut stop = std::pin::pin!(stop::requested());
    loop {
        let incoming = tokio::select! {
            incoming = subscription.recv() => incoming,
            () = &mut stop => break,
        };
        let line = match incoming {
            Some(Incoming::Message(bytes)) => match (wire::decode(&bytes), plan.json) {
                (Ok(envelope), true) => show::json(&envelope),
                (Ok(envelope), false) => show::text(&envelope),
                (Err(error), true) => show::undecodable_json(&error, bytes.len()),
                (Err(error), false) => show::undecodable_text(&error, bytes.len()),
            },
            Some(Incoming::Gap { reason }) if plan.json => show::gap_json(&reason),
            Some(Incoming::Gap { reason }) => show::gap_text(&reason),
            Some(_) => continue,
            None => return Err(Failure::broker(format!("the subscription at {} ended", backend.url))),
        };
        output::print_line(&line)?;
    }
    if let Err(error) = backend.manager.close().await {
        tracing::info!(%error, "the connection to the broker did not close cleanly");
    }
    Ok(())
}
