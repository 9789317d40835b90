//! `sio disconnect`, `enter-room`, `leave-room`, `close-room`: for clients on any server.

use std::time::Duration;

use manager_api::{Broadcast, Emitter, Error, Sid};

use crate::backend::Backend;
use crate::failure::Failure;
use crate::output;
use crate::plan::{Action, ControlPlan};

/// How long servers may take to say whether they have the client, if `--timeout` allows that much.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long servers have to announce themselves, before one can be asked. It cannot end earlier: which servers will respond is not known before.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// What the servers say about a client.
enum Whereabouts {
    Found,
    /// None of so many servers has it, if all can respond.
    Nowhere(usize),
    /// No server responded, or not all of them did.
    Unknown(String),
}

pub(super) async fn run(plan: ControlPlan) -> Result<(), Failure> {
    let quiet = plan.broker.quiet;
    let backend = plan.broker.backend()?;
    let emitter = backend.emitter();
    let told = backend.explaining(quiet, command(&plan, &backend, &emitter)).await;
    super::emit::close_after(&told, &emitter).await;
    let Some((client, whereabouts)) = told? else {
        return Ok(());
    };
    let namespace = plan.namespace.as_str();
    let others = match plan.broker.has_announcements() {
        true => ", for servers of python-socketio cannot respond",
        false => "",
    };
    let note = match whereabouts {
        Whereabouts::Found => return Ok(()),
        Whereabouts::Nowhere(num_servers) => {
            let servers = if num_servers == 1 {
                "the one server".to_owned()
            } else {
                format!("any of {num_servers} servers")
            };
            format!(
                "no client {:?} in namespace {namespace:?} on {servers} that responded; \
                 published all the same{others}",
                output::printable(client.as_str())
            )
        }
        Whereabouts::Unknown(why) => format!(
            "published; whether the client is there is not known: {}",
            output::printable(&why)
        ),
    };
    // No failure: a server that cannot respond may have the client, and does what was published.
    if !quiet {
        output::tell(&format!("sio: {note}"));
    }
    Ok(())
}

/// Publishes the command, and tells of a client where it was just before.
async fn command(
    plan: &ControlPlan,
    backend: &Backend,
    emitter: &Emitter,
) -> Result<Option<(Sid, Whereabouts)>, Failure> {
    let clients = emitter.of(&plan.namespace);
    let client = match &plan.action {
        Action::Disconnect(sid) | Action::Enter(sid, _) | Action::Leave(sid, _) => Some(sid.clone()),
        Action::Close(_) => None,
    };
    let timeout = plan.broker.timeout().min(ASK_TIMEOUT);
    let told = match client {
        // What they say would not be told.
        Some(_) if plan.broker.quiet => None,
        Some(client) if !plan.broker.has_announcements() => {
            let asked = count(clients.clone(), &client, timeout, 0).await;
            let whereabouts = asked.unwrap_or_else(|error| Whereabouts::Unknown(error.to_string()));
            Some((client, whereabouts))
        }
        Some(client) if timeout <= ANNOUNCING => {
            let why =
                format!("servers have a second to announce themselves, for which --timeout {timeout:?} is too short");
            Some((client, Whereabouts::Unknown(why)))
        }
        Some(client) => {
            let asked = whereabouts(emitter, clients.clone(), &client, timeout).await;
            // Those who may only publish cannot be answered.
            let whereabouts = asked.unwrap_or_else(|error| Whereabouts::Unknown(error.to_string()));
            Some((client, whereabouts))
        }
        None => None,
    };
    let (attempt, accepted) = match plan.action.clone() {
        Action::Disconnect(sid) => ("disconnect the client", clients.disconnect(sid)),
        Action::Enter(sid, room) => ("put the client into the room", clients.enter_room(sid, room)),
        Action::Leave(sid, room) => ("take the client out of the room", clients.leave_room(sid, room)),
        Action::Close(room) => ("close the room", clients.close_room(room)),
    };
    accepted.await.map_err(|error| backend.failure(attempt, error))?;
    Ok(told)
}

async fn whereabouts(
    emitter: &Emitter,
    clients: Broadcast,
    client: &Sid,
    timeout: Duration,
) -> Result<Whereabouts, Error> {
    let servers = emitter.servers(timeout).await?;
    if servers.found.is_empty() && servers.missing_servers.is_empty() {
        return Ok(Whereabouts::Unknown(
            "no server responded (those of python-socketio cannot)".into(),
        ));
    }
    count(clients, client, timeout, servers.missing_servers.len()).await
}

/// Asks the servers that are known whether they have the client; `num_missing` others did not respond before.
async fn count(clients: Broadcast, client: &Sid, timeout: Duration, num_missing: usize) -> Result<Whereabouts, Error> {
    let asked = clients.to(client.as_str()).timeout(timeout).count_sockets().await?;
    Ok(match (asked.found, num_missing + asked.missing_servers.len()) {
        (0, 0) if asked.num_servers == 0 => Whereabouts::Unknown("no server responded".into()),
        (0, 0) => Whereabouts::Nowhere(asked.num_servers),
        (0, 1) => Whereabouts::Unknown("1 server did not respond".into()),
        (0, num_missing) => Whereabouts::Unknown(format!("{num_missing} servers did not respond")),
        _ => Whereabouts::Found,
    })
}
