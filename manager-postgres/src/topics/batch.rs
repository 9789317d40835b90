//! What is published to topics, as jobs of a queue, and the statements that they become.
//!
//! | job | statement | with others in one transaction |
//! |---|---|---|
//! | a message | `pg_notify` for each of the batch | yes, as far as no two are the same |
//! | a message with an attachment | `INSERT` and `pg_notify` in one | no: its number is drawn by the statement |
//! | a deletion | `DELETE` | no: it may take long |
//!
//! The pipeline sends the statements one behind the other without waiting for answers, so that the order of the jobs is
//! that of the notifications, and a slow disk makes larger batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use manager_api::backend::Job;
use manager_api::topics::Topic;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::table::Table;
use crate::pipeline::{Answer, MAX_BATCH_BYTES};
use crate::publish::Queue;

/// What is done with the message of a job.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    /// It is a notification.
    Notify,
    /// It is a row of a table, and the notification is a text with the number of the row.
    Attach {
        /// Where the row is written.
        table: Table,
        /// The text up to the number.
        before: String,
        /// The text behind it.
        after: String,
    },
    /// There is none: rows that are older are deleted.
    Delete {
        /// Where they are deleted.
        table: Table,
        /// The age of the youngest.
        age: Duration,
    },
}

/// The end of each word in the head of a job: no name, and no text of PostgreSQL, holds it.
const END: char = '\0';

impl Order {
    /// Writes the head of a job.
    pub(super) fn head(&self, topic: &Topic) -> Bytes {
        let name = &topic.name;
        match self {
            Self::Notify => format!("{name}{END}"),
            Self::Attach { table, before, after } => format!("{name}{END}{table}{END}{before}{END}{after}{END}"),
            Self::Delete { table, age } => format!("{name}{END}{table}{END}{}{END}", age.as_secs_f64()),
        }
        .into()
    }

    /// Reads the head of a job: the topic, and what is to be done.
    fn of_head(head: &[u8]) -> Option<(&str, Self)> {
        let words: Vec<&str> = std::str::from_utf8(head).ok()?.split_terminator(END).collect();
        let table = |name| Table::of_quoted(name);
        match words[..] {
            [topic] => Some((topic, Self::Notify)),
            [topic, name, before, after] => {
                let (before, after) = (before.to_owned(), after.to_owned());
                Some((
                    topic,
                    Self::Attach {
                        table: table(name),
                        before,
                        after,
                    },
                ))
            }
            [topic, name, age] => {
                let age = Duration::try_from_secs_f64(age.parse().ok()?).ok()?;
                Some((
                    topic,
                    Self::Delete {
                        table: table(name),
                        age,
                    },
                ))
            }
            _ => None,
        }
    }
}

/// Takes the next jobs that make one transaction, and sends them.
///
/// A transaction of notifications holds none twice: the server would drop the second one. Each of the other statements is
/// a transaction of its own.
pub(crate) fn next(queue: &Queue, client: &Arc<Client>) -> (Vec<Job>, Answer) {
    let max_batch = queue.link.options.max_batch.max(1);
    let (mut jobs, mut notices, mut known, mut num_bytes) = (Vec::new(), Vec::new(), HashSet::new(), 0);
    while jobs.len() < max_batch && num_bytes < MAX_BATCH_BYTES {
        let Some(mut job) = queue.next_job() else { break };
        let head = job.head.clone();
        let (topic, order) = Order::of_head(&head).expect("a head is read as it was written");
        if order != Order::Notify && jobs.is_empty() {
            let message = std::mem::take(&mut job.message);
            let sent = send(client.clone(), topic.to_owned(), order, message);
            return (vec![job], sent.boxed());
        }
        if order != Order::Notify || !known.insert((head.clone(), job.message.clone())) {
            queue.put_back(std::iter::once(job));
            break;
        }
        let message = std::mem::take(&mut job.message);
        num_bytes += message.len();
        notices.push((topic.to_owned(), message));
        jobs.push(job);
    }
    (jobs, notify(client.clone(), notices).boxed())
}

/// Publishes notifications in one transaction.
async fn notify(client: Arc<Client>, notices: Vec<(String, Bytes)>) -> Result<(), tokio_postgres::Error> {
    let text = |message| std::str::from_utf8(message).expect("a message was checked before it was queued");
    let topics: Vec<&str> = notices.iter().map(|(topic, _)| &**topic).collect();
    let messages: Vec<&str> = notices.iter().map(|(_, message)| text(message)).collect();
    let statement =
        "SELECT pg_notify(one.topic, one.message) FROM unnest($1::text[], $2::text[]) AS one (topic, message)";
    let parameters = [(&topics as _, Type::TEXT_ARRAY), (&messages as _, Type::TEXT_ARRAY)];
    client.query_typed(statement, &parameters).await.map(drop)
}

/// Publishes a message with an attachment, or deletes attachments.
async fn send(client: Arc<Client>, topic: String, order: Order, message: Bytes) -> Result<(), tokio_postgres::Error> {
    match order {
        Order::Attach { table, before, after } => {
            let statement = format!(
                "WITH stored AS (INSERT INTO {table} (payload) VALUES ($1) RETURNING id) \
                 SELECT pg_notify($2, $3 || id::text || $4) FROM stored"
            );
            let message = &message[..];
            let parameters = [
                (&message as _, Type::BYTEA),
                (&topic as _, Type::TEXT),
                (&before as _, Type::TEXT),
                (&after as _, Type::TEXT),
            ];
            client.query_typed(&statement, &parameters).await.map(drop)
        }
        Order::Delete { table, age } => {
            let statement = format!("DELETE FROM {table} WHERE created_at < now() - make_interval(secs => $1)");
            let seconds = age.as_secs_f64();
            let parameters = [(&seconds as _, Type::FLOAT8)];
            client.query_typed(&statement, &parameters).await.map(drop)
        }
        Order::Notify => notify(client, vec![(topic, message)]).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let table = Table::parse("a.b").unwrap();
        for order in [
            Order::Notify,
            Order::Attach {
                table: table.clone(),
                before: "{\"id\":\"".to_owned(),
                after: String::new(),
            },
            Order::Delete {
                table,
                age: Duration::from_millis(1500),
            },
        ] {
            let head = order.head(&Topic::new("a#/b"));
            assert_eq!(Order::of_head(&head), Some(("a#/b", order)));
        }
        let deletes = Order::Delete {
            table: Table::parse("t").unwrap(),
            age: Duration::ZERO,
        };
        assert_eq!(Order::of_head(&deletes.head(&Topic::new(""))), Some(("", deletes)));
    }
}
