//! What is known about subscribers: on the server, or on each node of a Redis Cluster.

use std::fmt;
use std::sync::Arc;

use manager_api::Error;
use manager_api::backend::url::Address;
use manager_api::backend::{Attempts, Failure as _};
use manager_api::topics::Topic;
use redis::{Cmd, RedisError, Value, cmd};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout_at};

use super::reader::{Head, Reader};
use super::redirection::target;
use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::{Connection, Purpose};
use crate::error::{Failure, timed_out};
use crate::hello::{elements, is_of_cluster, text};
use crate::refusal::Asked;

/// The maximum length, in bytes, of the list of nodes.
const MAX_NODES_LEN: usize = 4 << 20;
/// The maximum length, in bytes, of a name that is kept.
const MAX_NAME_LEN: usize = 4 << 10;

/// What is to be found out about subscribers.
#[derive(Clone, Copy)]
pub(super) enum Query<'a> {
    /// The subscribers of a topic.
    Count(&'a Topic),
    /// Names of sharded topics, as many as `max`.
    Names { pattern: &'a str, max: usize },
}

/// What was found out, of all nodes together.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) count: u64,
    pub(super) names: Vec<String>,
}

/// Connections for counting, opened on first use and kept.
pub(super) struct Counter {
    options: Arc<RedisOptions>,
    connector: Arc<Connector>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The connection to any server, and whether that is a node of a cluster.
    first: Option<(Connection, bool)>,
    /// The nodes of the cluster.
    nodes: Vec<(Address, Connection)>,
}

impl Counter {
    /// Creates a counter without connections.
    pub(super) fn new(connector: Arc<Connector>, options: &RedisOptions) -> Self {
        Self {
            options: Arc::new(options.clone()),
            connector,
            kept: Mutex::default(),
        }
    }

    /// Looks at the subscribers on every node, within the deadline.
    pub(super) async fn look(&self, query: Query<'_>) -> Result<Found, Error> {
        let mut attempts = Attempts::new(&self.options.common);
        loop {
            let failure = match timeout_at(attempts.until(), self.attempt(query)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(failure)) => Arc::new(failure),
                Err(_) => break,
            };
            let error = failure.unreachable(self.options.common.deadline);
            let pause = sleep(attempts.failed(error)?);
            if timeout_at(attempts.until(), pause).await.is_err() {
                break;
            }
        }
        Err(attempts.overdue(|deadline| timed_out(self.connector.label(), deadline)))
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        *self.kept.lock().await = Kept::default();
    }

    /// Looks over the connections that are kept, or over new ones if those turn out to be lost.
    async fn attempt(&self, query: Query<'_>) -> Result<Found, Failure> {
        let mut guard = self.kept.lock().await;
        // Dropped if this attempt fails or is given up: a reply may be outstanding.
        let mut kept = std::mem::take(&mut *guard);
        let was_kept = kept.first.is_some();
        let mut found = self.look_over(&mut kept, query).await;
        if was_kept && found.as_ref().is_err_and(|failure| !failure.is_refused()) {
            kept = Kept::default();
            found = self.look_over(&mut kept, query).await;
        }
        if found.is_ok() {
            *guard = kept;
        }
        found
    }

    /// Looks over these connections, and opens those that are missing.
    async fn look_over(&self, kept: &mut Kept, query: Query<'_>) -> Result<Found, Failure> {
        let (mut first, is_node) = match kept.first.take() {
            Some(first) => first,
            None => {
                let mut first = self.connector.connect(Purpose::Publishing).await?;
                let hello = first.request(cmd("HELLO").arg(2)).await?;
                let is_node = hello.is_ok_and(|hello| is_of_cluster(&hello));
                (first, is_node)
            }
        };
        let mut found = Found::default();
        if !is_node {
            first = self.look_on(first, query, &mut found).await?;
            kept.first = Some((first, is_node));
            return Ok(found);
        }
        let nodes = nodes_of(&mut first).await?;
        kept.first = Some((first, is_node));
        kept.nodes.retain(|(address, _)| nodes.contains(address));
        for node in nodes {
            let at = kept.nodes.iter().position(|(address, _)| *address == node);
            let connection = match at {
                Some(at) => kept.nodes.swap_remove(at).1,
                None => self.connector.connect_to(&node, Purpose::Publishing).await?,
            };
            let connection = self.look_on(connection, query, &mut found).await?;
            kept.nodes.push((node, connection));
        }
        Ok(found)
    }

    /// Looks at the subscribers on one server. Returns the connection, on which nothing is outstanding.
    async fn look_on(
        &self,
        mut connection: Connection,
        query: Query<'_>,
        found: &mut Found,
    ) -> Result<Connection, Failure> {
        match query {
            Query::Count(topic) => {
                found.count += count_on(&mut connection, topic).await?;
                Ok(connection)
            }
            Query::Names { pattern, max } => {
                let mut reader = Reader {
                    connection,
                    options: self.options.clone(),
                    reply_limit: Some(self.options.common.deadline),
                };
                read_names(&mut reader, pattern, max, &mut found.names).await?;
                Ok(reader.connection)
            }
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}

/// Counts the subscribers on one server.
async fn count_on(connection: &mut Connection, topic: &Topic) -> Result<u64, Failure> {
    let (kind, command) = match topic.is_sharded {
        true => ("SHARDNUMSUB", "PUBSUB SHARDNUMSUB"),
        false => ("NUMSUB", "PUBSUB NUMSUB"),
    };
    let question = cmd("PUBSUB").arg(kind).arg(&*topic.name).to_owned();
    let answer = connection.request(&question).await?;
    let answer = judged(connection, command, &topic.name, answer)?;
    match elements(&answer) {
        [_, Value::Int(count)] => Ok(u64::try_from(*count).unwrap_or_default()),
        _ => Err(connection.not_redis()),
    }
}

/// Reads the names of the sharded topics that a server has subscribers of. The reply may be of any length: what is over
/// `max` names is passed over.
async fn read_names(reader: &mut Reader, pattern: &str, max: usize, names: &mut Vec<String>) -> Result<(), Failure> {
    let question = cmd("PUBSUB").arg("SHARDCHANNELS").arg(pattern).to_owned();
    reader.connection.send(&question.get_packed_command()).await?;
    let len = match reader.head().await? {
        Head::List(len) => len,
        Head::Error(error) => {
            let (command, name) = ("PUBSUB SHARDCHANNELS", pattern);
            let asked = Asked::Topic { command, name };
            return Err(Failure::server(&reader.connection.address, asked, error));
        }
        _ => return Err(reader.connection.not_redis()),
    };
    for _ in 0..len {
        if names.len() >= max {
            reader.skip().await?;
        } else if let Ok(name) = reader.text(MAX_NAME_LEN).await? {
            names.push(String::from_utf8_lossy(&name).into_owned());
        }
    }
    Ok(())
}

/// Returns the nodes of the cluster that are not known to have failed. Each counts its own subscribers, a replica too, and
/// one without slots.
async fn nodes_of(connection: &mut Connection) -> Result<Vec<Address>, Failure> {
    let question: Cmd = cmd("CLUSTER").arg("NODES").to_owned();
    let answer = connection.request_up_to(&question, MAX_NODES_LEN).await?;
    let answer = judged(connection, "CLUSTER NODES", "", answer)?;
    let list = text(&answer).map(String::from_utf8_lossy).unwrap_or_default();
    Ok(list
        .lines()
        .filter_map(|line| node_of(line, &connection.address))
        .collect())
}

/// Reads a line of the list of nodes: `id host:port@bus-port[,name] flags …`.
fn node_of(line: &str, own: &str) -> Option<Address> {
    let mut words = line.split(' ').skip(1);
    let (address, flags) = (words.next()?, words.next()?);
    let is_lost = |flag: &str| matches!(flag, "fail" | "noaddr" | "handshake");
    if flags.split(',').any(is_lost) {
        return None;
    }
    target(address.split(['@', ',']).next()?, own)
}

/// Returns the answer to a question, or the failure of the server that refused it.
fn judged(
    connection: &Connection,
    command: &str,
    name: &str,
    answer: Result<Value, RedisError>,
) -> Result<Value, Failure> {
    answer.map_err(|error| Failure::server(&connection.address, Asked::Topic { command, name }, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_cluster_are_read() {
        let own = "127.0.0.1:7000";
        for (line, expected) in [
            (
                "a 127.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-16383",
                Some("127.0.0.1:7001"),
            ),
            (
                "a 10.0.0.1:7001@17001,host.name slave b 0 0 1 connected",
                Some("10.0.0.1:7001"),
            ),
            ("a :7000@17000 myself,master - 0 0 0 connected", Some("127.0.0.1:7000")),
            ("a fe80::1:7001@17001 master - 0 0 1 connected", Some("[fe80::1]:7001")),
            (
                "a 127.0.0.1:7001@17001 master,fail? - 0 0 1 connected",
                Some("127.0.0.1:7001"),
            ),
            ("a 127.0.0.1:7001@17001 master,fail - 0 0 1 disconnected", None),
            ("a :0@0 master,noaddr - 0 0 1 disconnected", None),
            ("", None),
        ] {
            let node = node_of(line, own).map(|node| node.to_string());
            assert_eq!(node.as_deref(), expected, "{line}");
        }
    }
}
