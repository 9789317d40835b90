//! Many clients at once.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout};

use super::{Client, Target};
use crate::latency::Latency;

/// The longest that one client may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Connects `count` clients, `at_once` of them at a time; returns them with the time that each took.
///
/// # Errors
///
/// If a single one cannot connect: a benchmark of fewer clients would be another one.
pub async fn connect_many(target: &Target, count: usize, at_once: usize) -> Result<(Vec<Client>, Latency)> {
    let permits = Rc::new(Semaphore::new(at_once.max(1)));
    let latency = Rc::new(RefCell::new(Latency::new()));
    let connecting: Vec<_> = (0..count)
        .map(|_| {
            let (target, permits, latency) = (target.clone(), permits.clone(), latency.clone());
            spawn_local(async move {
                let _permit = permits.acquire().await?;
                let began = Instant::now();
                let client = timeout(CONNECT_TIMEOUT, Client::connect(&target)).await??;
                latency.borrow_mut().record(began.elapsed());
                anyhow::Ok(client)
            })
        })
        .collect();
    let mut clients = Vec::with_capacity(count);
    for client in connecting {
        let client = client.await?;
        clients.push(client.with_context(|| format!("client {} of {count} could not connect", clients.len() + 1))?);
    }
    Ok((clients, latency.replace(Latency::new())))
}

/// Clients that run by themselves; they end with this value.
#[derive(Debug, Default)]
pub struct Crowd {
    tasks: Vec<JoinHandle<()>>,
    num_failed: Rc<Cell<u64>>,
}

impl Crowd {
    /// Adds a client. Its failure is counted, and the first one is printed.
    pub fn add(&mut self, client: impl Future<Output = Result<Infallible>> + 'static) {
        let num_failed = self.num_failed.clone();
        self.tasks.push(spawn_local(async move {
            let Err(error) = client.await;
            if num_failed.replace(num_failed.get() + 1) == 0 {
                eprintln!("client failed: {error:#}");
            }
        }));
    }

    /// Returns how many clients have failed.
    pub fn num_failed(&self) -> u64 {
        self.num_failed.get()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
