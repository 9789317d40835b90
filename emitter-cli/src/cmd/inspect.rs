//! `sio servers`, `rooms`, `who`, `count`: reports of every server on the channel.

mod report;
mod table;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use manager_api::{Emitter, Error};

use crate::backend::Backend;
use crate::failure::Failure;
use crate::output;
use crate::plan::{InspectPlan, Subject};
use crate::stop;
use report::Report;

/// Clears the terminal, and moves the cursor to its corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(super) async fn run(plan: InspectPlan) -> Result<(), Failure> {
    let backend = plan.broker.backend()?;
    let emitter = backend.emitter();
    let mut stop = std::pin::pin!(stop::requested());
    let work = async {
        match plan.watch {
            None => once(&plan, &backend, &emitter).await,
            Some(interval) => watch(&plan, &backend, &emitter, interval).await,
        }
    };
    let done = tokio::select! {
        done = backend.explaining(plan.broker.quiet, work) => done,
        signal = &mut stop => match plan.watch {
            // What is watched has no other end.
            Some(_) => Ok(()),
            None => Err(Failure::signal(signal, "the servers had not all responded yet")),
        },
    };
    super::emit::close_after(&done, &emitter).await;
    done
}

/// Prints a report; a failure if it is empty or incomplete for lack of responses.
async fn once(plan: &InspectPlan, backend: &Backend, emitter: &Emitter) -> Result<(), Failure> {
    let report = request(plan, emitter).await;
    let report = report.map_err(|error| backend.failure("inspect the servers", error))?;
    print(&report, plan.json).await?;
    match report.fault(&plan.broker) {
        Some(fault) => Err(Failure::broker(fault)),
        None => Ok(()),
    }
}

/// Prints reports for ever. A failure that may pass is told, and the next report is requested all the same.
async fn watch(plan: &InspectPlan, backend: &Backend, emitter: &Emitter, interval: Duration) -> Result<(), Failure> {
    let clears = !plan.json && std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(interval);
    let mut silent = BTreeSet::new();
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let requested = request(plan, emitter).await;
        if clears {
            output::printed(CLEAR.to_owned()).await?;
        }
        let fault = match requested {
            Ok(mut report) => {
                report.remember(&mut silent);
                print(&report, plan.json).await?;
                report.fault(&plan.broker)
            }
            Err(error) => match backend.failure("inspect the servers", error) {
                refused @ Failure::Input(_) => return Err(refused),
                failure => Some(failure.to_string()),
            },
        };
        if let Some(fault) = fault {
            output::tell(&format!("sio: {fault}"));
        }
    }
}

async fn print(report: &Report, json: bool) -> Result<(), Failure> {
    output::printed(if json { report.json() } else { report.text() }).await
}

/// Requests the report of every server; completes when all have responded, or at the timeout.
async fn request(plan: &InspectPlan, emitter: &Emitter) -> Result<Report, Error> {
    let timeout = plan.broker.timeout();
    let asked_at = SystemTime::now();
    Ok(match &plan.subject {
        Subject::Servers => Report::servers(emitter.servers(timeout).await?, asked_at),
        Subject::Rooms(namespace, prefix) => Report::rooms(emitter.rooms(namespace, prefix, timeout).await?),
        Subject::Clients(namespace, rooms) => {
            let clients = emitter.of(namespace).to_all(rooms).timeout(timeout);
            Report::clients(clients.fetch_sockets().await?)
        }
        Subject::Count(namespace, rooms) => {
            let clients = emitter.of(namespace).to_all(rooms).timeout(timeout);
            Report::count(clients.count_sockets().await?)
        }
    })
}
