//! The recognition of connection poolers that give each transaction another connection to the server, as PgBouncer does
//! in transaction mode: on these a notification reaches no listener.
//!
//! Such a pooler accepts LISTEN, and passes on no notification: a subscription would be silent for ever. It names itself
//! nowhere in the protocol, so its effect is looked for. A pool in session mode, and a proxy or a network that translates
//! addresses, pass.

use std::time::Duration;

use manager_api::diagnosis::Code;
use tokio::time::timeout;

use crate::connect::Connector;
use crate::error::Failure;
use crate::session::{Events, Session};

/// The number of connections of the server that are held at once.
const MAX_HELD: usize = 4;
/// The longest time for the second connection, and half of the time to connect at most. A pool in session mode may have
/// none left, which says nothing.
const SECOND: Duration = Duration::from_secs(2);

/// Refuses a session whose transactions do not stay on one connection of the server.
///
/// The server tells the port of the client that it sees. If that is ours, nothing is in between. Otherwise further
/// sessions hold connections of the server in transactions: in transaction mode one of them is the one that this session
/// has just released, and this session gets another one.
pub(crate) async fn check(connector: &Connector, session: &Session) -> Result<(), Failure> {
    let limit = connector.connect_timeout;
    let limit_of_second = SECOND.min(limit / 2);
    let row = session
        .text_row("SELECT inet_client_port(), pg_backend_pid()", limit)
        .await?;
    let seen: Option<u16> = row.first().cloned().flatten().and_then(|port| port.parse().ok());
    if seen.is_some() && seen == session.own_port {
        return Ok(());
    }
    let own = backend(session, "", limit).await?;
    // On a busy pool another client may have taken the connection first, or returned one later.
    let mut held = Vec::new();
    for _ in 0..MAX_HELD {
        let holding = connector.connect(session.asked, Events::new(|_| false));
        let Ok(Ok(second)) = timeout(limit_of_second, holding).await else {
            return Ok(());
        };
        let other = match timeout(limit_of_second, backend(&second, "BEGIN; ", limit)).await {
            Ok(Ok(other)) => other,
            // In statement mode there are no transactions.
            Ok(Err(failure)) if failure.is_answer() => return Err(refusal(&session.address)),
            _ => return Ok(()),
        };
        held.push(second);
        match backend(session, "", limit_of_second).await {
            Ok(later) if later == own && other != own => {}
            _ => return Err(refusal(&session.address)),
        }
    }
    Ok(())
}

/// Returns the process that serves a statement.
async fn backend(session: &Session, before: &str, limit: Duration) -> Result<Option<String>, Failure> {
    let row = session
        .text_row(&format!("{before}SELECT pg_backend_pid()"), limit)
        .await?;
    Ok(row.first().cloned().flatten())
}

/// Returns the refusal, which names the pooler and who may use it all the same.
fn refusal(address: &str) -> Failure {
    let text = "a connection pooler that gives each transaction another connection (PgBouncer with pool_mode = transaction), on which \
                LISTEN receives nothing: connect servers to PostgreSQL itself, or to a pool with pool_mode = session; workers that only \
                emit may use this one";
    Failure::wrong_url(address, Code::Pooler, text)
}
