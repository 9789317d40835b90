//! A publisher in a process of its own, which publishes numbers on a channel without a pause: `sio-test-publisher URL CHANNEL`.
//!
//! Each number is published once, and what became of it is kept. Says `{"event": "publishing"}` once the first is accepted; takes the
//! command `stop`, which ends in `{"event": "done", "id": N, "result": …}` with the number that would have come next (`next`), the first and
//! the last of each run of accepted ones (`accepted`), and how many failed with which words (`failures`). A number that failed may have been
//! published all the same.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use integration::managers;
use manager_api::{ClientManager, Error, ManagerOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio::time::{MissedTickBehavior, interval};

/// Between two publishes: about 1,000 a second.
const PACE: Duration = Duration::from_millis(1);
/// Number of publishes in flight.
const MAX_IN_FLIGHT: usize = 64;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn StdError + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(channel)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sio-test-publisher URL CHANNEL".into());
    };
    let options = ManagerOptions {
        channel,
        deadline: Duration::from_secs(3),
        backoff_base: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(200),
        ..ManagerOptions::default()
    };
    let manager = managers::manager(&url, options);
    let (outcomes, id) = publish_until_told(&*manager).await?;
    println!("{}", json!({ "event": "done", "id": id, "result": outcomes.report() }));
    Ok(())
}

/// The outcomes of the numbers.
#[derive(Default)]
struct Outcomes {
    next: u64,
    accepted: Vec<(u64, u64)>,
    failures: BTreeMap<String, u64>,
}

impl Outcomes {
    fn note(&mut self, number: u64, outcome: Result<(), Error>) {
        let Err(error) = outcome else {
            match self.accepted.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => self.accepted.push((number, number)),
            }
            return;
        };
        *self.failures.entry(error.to_string()).or_default() += 1;
    }

    fn report(&self) -> Value {
        json!({ "next": self.next, "accepted": self.accepted, "failures": self.failures })
    }
}

/// Publishes until the command arrives, waits for publishes in flight, and returns the command's id.
async fn publish_until_told(manager: &dyn ClientManager) -> Result<(Outcomes, Value), std::io::Error> {
    let mut commands = BufReader::new(stdin()).lines();
    let mut outcomes = Outcomes::default();
    let mut under_way = FuturesOrdered::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let id = loop {
        tokio::select! {
            id = command(&mut commands) => break id?,
            Some((number, outcome)) = under_way.next() => {
                let num_runs = outcomes.accepted.len();
                outcomes.note(number, outcome);
                if num_runs == 0 && !outcomes.accepted.is_empty() {
                    println!("{}", json!({ "event": "publishing" }));
                }
            }
            _ = pace.tick(), if under_way.len() < MAX_IN_FLIGHT => {
                under_way.push_back(publish(manager, outcomes.next));
                outcomes.next += 1;
            }
        }
    };
    while let Some((number, outcome)) = under_way.next().await {
        outcomes.note(number, outcome);
    }
    Ok((outcomes, id))
}

async fn publish(manager: &dyn ClientManager, number: u64) -> (u64, Result<(), Error>) {
    (number, manager.publish(Bytes::from(number.to_string())).await)
}

/// Reads the command to stop; the end of the input is one, too. Cancel safe, as reading a line is.
async fn command(commands: &mut Lines<BufReader<Stdin>>) -> Result<Value, std::io::Error> {
    let line = commands.next_line().await?.unwrap_or_default();
    let mut command: Value = serde_json::from_str(&line).unwrap_or_default();
    Ok(command["id"].take())
}
