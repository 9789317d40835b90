//! `sio emit`: one event, and its acknowledgements or its receipt on request.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use manager_api::ack::ClientAck;
use manager_api::log::Escaped;
use manager_api::{Emitter, HostId};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::backend::Backend;
use crate::failure::Failure;
use crate::plan::EmitPlan;
use crate::stop::Signals;
use crate::{log, output};

pub(super) async fn run(plan: EmitPlan) -> Result<(), Failure> {
    let backend = plan.broker.backend()?;
    let emitter = backend.emitter();
    let quiet = plan.broker.quiet;
    let work = async {
        match plan.num_acks {
            Some(count) => emit_with_acks(&backend, &emitter, plan, count).await,
            None if plan.receipt => emit_with_receipt(&backend, &emitter, plan).await,
            None => emit(&backend, &emitter, plan).await,
        }
    };
    let done = backend.explaining(quiet, work).await;
    close_after(&done, &emitter).await;
    done
}

/// How long releasing the connection may take after a failure, which has used up the time that the user gave.
const FAILED_CLOSE: Duration = Duration::from_millis(200);
/// What is known where no server of Node is subscribed.
pub(super) const NO_NODE_SERVER: &str = "no server of that adapter is in the namespace, or --wire-prefix is not theirs";

/// Releases the connection; after a failure there is nothing to flush.
pub(super) async fn close_after<T, E>(done: &Result<T, E>, emitter: &Emitter) {
    match done {
        Ok(_) => close(emitter).await,
        Err(_) => drop(timeout(FAILED_CLOSE, close(emitter)).await),
    }
}

async fn emit(backend: &Backend, emitter: &Emitter, plan: EmitPlan) -> Result<(), Failure> {
    let broadcast = plan.address.broadcast(emitter);
    let accepted = broadcast.emit_payload(plan.event.as_str(), plan.payload).await;
    accepted.map_err(|error| backend.failure("emit", error))?;
    tracing::info!(event = plan.event.as_str(), broker = %backend.url, "accepted");
    Ok(())
}

/// Releases the connection. Everything was accepted before, so a failure is worth a line and no more.
pub(super) async fn close(emitter: &Emitter) {
    if let Err(error) = emitter.close().await {
        tracing::info!(error = ?Escaped(error), "the connection to the broker did not close cleanly");
    }
}

async fn emit_with_acks(backend: &Backend, emitter: &Emitter, plan: EmitPlan, count: usize) -> Result<(), Failure> {
    let timeout = plan.broker.timeout();
    let broadcast = plan.address.broadcast(emitter).timeout(timeout);
    let emitted = broadcast.emit_payload_with_ack(plan.event.as_str(), plan.payload).await;
    let mut acks = emitted.map_err(|error| backend.failure("emit", error))?.count(count);
    let mut num_acks = 0;
    // From here on it matters whether acknowledgements may have been missed.
    log::with_managers();
    let mut signals = Signals::new();
    loop {
        let ack = tokio::select! {
            ack = acks.next() => ack,
            signal = signals.next() => {
                let text = format!("the event was accepted, and {num_acks} of {count} acknowledgements had come");
                return Err(Failure::signal(signal, text));
            }
        };
        let Some(ack) = ack else { break };
        print(&ack.map_err(|error| backend.failure("emit", error))?)?;
        num_acks += 1;
    }
    if num_acks < count {
        let hint = if num_acks == 0 {
            "; is anybody in the room, and does it acknowledge this event?"
        } else {
            ""
        };
        return Err(Failure::broker(format!(
            "the event was accepted, but {num_acks} of {count} acknowledgements came within {timeout:?}{hint}"
        )));
    }
    tracing::info!(num_acks, "all acknowledgements came");
    Ok(())
}

/// Emits, and prints how many clients on which servers were handed the event.
async fn emit_with_receipt(backend: &Backend, emitter: &Emitter, plan: EmitPlan) -> Result<(), Failure> {
    let broadcast = plan.address.broadcast(emitter).timeout(plan.broker.timeout());
    let mut signals = Signals::new();
    let receipt = tokio::select! {
        receipt = broadcast.emit_payload_with_receipt(plan.event.as_str(), plan.payload) => receipt,
        signal = signals.next() => {
            let text = "the event may have been published, and not all servers had reported";
            return Err(Failure::signal(signal, text));
        }
    };
    let receipt = receipt.map_err(|error| backend.failure("emit", error))?;
    let servers: Vec<_> = receipt
        .servers
        .iter()
        .map(|server| json!({ "server": server.server.as_str(), "clients": server.clients }))
        .collect();
    let missing: Vec<_> = receipt.missing_servers.iter().map(HostId::as_str).collect();
    let num_clients = receipt.num_clients();
    let line = json!({ "clients": num_clients, "servers": servers, "missing_servers": missing });
    output::print_line(&output::json_line(line.to_string()))?;
    if num_clients > 0 {
        return Ok(());
    }
    let reported = match (servers.len(), missing.len()) {
        (0, 0) if !plan.broker.has_announcements() => NO_NODE_SERVER.to_owned(),
        (0, 0) => "no server reported; servers of python-socketio deliver an event and cannot report it".to_owned(),
        (1, 0) => "1 server reported".to_owned(),
        (reported, 0) => format!("{reported} servers reported"),
        (0, 1) => "the one server did not report in time".to_owned(),
        (reported, missing) => format!("of {} servers, {missing} did not report in time", reported + missing),
    };
    Err(Failure::broker(format!(
        "the event was accepted, but no client is known to have been handed it: {reported}"
    )))
}

/// Prints an acknowledgement as a line of JSON; attachments, where there are any, in base64 in the order of their placeholders.
fn print(ack: &ClientAck) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line<'a> {
        client: Option<&'a str>,
        args: Vec<&'a RawValue>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
    }
    let line = Line {
        client: ack.client.as_ref().map(|sid| sid.as_str()),
        args: ack.payload.arguments(),
        attachments: ack
            .payload
            .attachments()
            .iter()
            .map(|bytes| BASE64_STANDARD.encode(bytes))
            .collect(),
    };
    let line = serde_json::to_string(&line).expect("strings and JSON are JSON");
    output::print_line(&output::json_line(line))
}
