//! A source and a broker in memory, and a relay between them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use manager_api::async_trait;
use manager_api::lock::Unpoisoned;
use manager_api::source::{Place, Position, Reading, Record, Source, SourceStatus};
use manager_api::{ClientManager, Emitter, Error, ErrorKind, Subscription};
use relay::{MapConfig, Mapping, Relay, RelayOptions};
use tokio::sync::{Semaphore, mpsc};

/// A source in memory: hands out what it is sent, and remembers what it is told.
pub(crate) struct Fake {
    readings: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<Reading, Error>>>,
    told: mpsc::UnboundedSender<Told>,
    /// The errors of the next acknowledgements and dead letters.
    pub(crate) errors: Mutex<VecDeque<Error>>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    Acknowledged(Vec<Position>),
    Dead(Position, String),
    Closed,
}

impl Fake {
    fn result(&self) -> Result<(), Error> {
        self.errors.lock().unpoisoned().pop_front().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Source for Fake {
    async fn next(&self) -> Result<Reading, Error> {
        self.readings.lock().await.recv().await.unwrap_or(Ok(Reading::End))
    }

    async fn acknowledge(&self, positions: &[Position]) -> Result<(), Error> {
        self.result()?;
        self.told.send(Told::Acknowledged(positions.to_vec())).unwrap();
        Ok(())
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error> {
        self.result()?;
        self.told
            .send(Told::Dead(record.position.clone(), reason.to_owned()))
            .unwrap();
        Ok(())
    }

    async fn close(&self, _limit: Duration) -> Result<(), Error> {
        self.told.send(Told::Closed).unwrap();
        self.result()
    }

    fn status(&self) -> SourceStatus {
        SourceStatus::new(true, Some(3))
    }
}

/// A broker that accepts as many messages as it is permitted to, after the errors that it was given.
#[derive(Default)]
pub(crate) struct Broker {
    pub(crate) permits: Option<Semaphore>,
    pub(crate) errors: Mutex<VecDeque<Option<Error>>>,
    pub(crate) started: Mutex<Vec<String>>,
    pub(crate) accepted: Mutex<Vec<String>>,
}

#[async_trait]
impl ClientManager for Broker {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        let event = event_of(&message);
        self.started.lock().unpoisoned().push(event.clone());
        let error = self.errors.lock().unpoisoned().pop_front().flatten();
        if let Some(permits) = &self.permits {
            permits.acquire().await.unwrap().forget();
        }
        error.map_or(Ok(()), Err)?;
        self.accepted.lock().unpoisoned().push(event);
        Ok(())
    }

    /// None, so that the emitter reports each failure instead of emitting an event with a key again by itself.
    fn deadline(&self) -> Duration {
        Duration::ZERO
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        Err(Error::new(ErrorKind::Config, "write-only"))
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

pub(crate) fn event_of(message: &Bytes) -> String {
    let message: serde_json::Value = serde_json::from_slice(message).unwrap();
    message["event"].as_str().unwrap().to_owned()
}

/// A relay under test.
pub(crate) struct Rig {
    pub(crate) readings: Option<mpsc::UnboundedSender<Result<Reading, Error>>>,
    told: mpsc::UnboundedReceiver<Told>,
    pub(crate) source: Arc<Fake>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) options: RelayOptions,
}

impl Rig {
    pub(crate) fn new(broker: Broker) -> Self {
        let (readings, receiver) = mpsc::unbounded_channel();
        let (told, told_receiver) = mpsc::unbounded_channel();
        let source = Fake {
            readings: receiver.into(),
            told,
            errors: Mutex::default(),
        };
        Self {
            readings: Some(readings),
            told: told_receiver,
            source: Arc::new(source),
            broker: Arc::new(broker),
            options: RelayOptions::default(),
        }
    }

    pub(crate) fn relay(&self) -> Relay {
        let mapping = Mapping::new(&MapConfig::event("{/e}")).unwrap();
        let emitter = Emitter::new(self.broker.clone());
        Relay::new(
            self.source.clone(),
            mapping,
            self.broker.clone(),
            emitter,
            self.options.clone(),
        )
    }

    pub(crate) fn read(&self, offsets: impl IntoIterator<Item = i64>) {
        let records = offsets.into_iter().map(|offset| {
            let body = if offset < 0 {
                "bad".to_owned()
            } else {
                format!("{{\"e\":\"e{offset}\"}}")
            };
            Record::new(at(offset), body)
        });
        let records = records.collect();
        self.readings
            .as_ref()
            .unwrap()
            .send(Ok(Reading::Records(records)))
            .unwrap();
    }

    /// A line, which nothing keeps.
    pub(crate) fn read_line(&self, line: u64) {
        let place = Place::Line(line);
        let name = "t".into();
        let record = Record::new(Position { name, place }, format!("{{\"e\":\"e{line}\"}}"));
        let reading = Ok(Reading::Records(vec![record]));
        self.readings.as_ref().unwrap().send(reading).unwrap();
    }

    pub(crate) fn end(&mut self) {
        self.readings = None;
    }

    /// Returns the offsets that were acknowledged, in their order, and all else that the source was told.
    pub(crate) fn told(&mut self) -> (Vec<i64>, Vec<Told>) {
        let (mut acknowledged, mut rest) = (Vec::new(), Vec::new());
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Acknowledged(positions) => acknowledged.extend(positions.iter().map(offset_of)),
                other => rest.push(other),
            }
        }
        (acknowledged, rest)
    }

    pub(crate) fn accepted(&self) -> Vec<String> {
        self.broker.accepted.lock().unpoisoned().clone()
    }
}

pub(crate) fn at(offset: i64) -> Position {
    let partition = 0;
    let place = Place::Offset { partition, offset };
    let name = "t".into();
    Position { name, place }
}

pub(crate) fn offset_of(position: &Position) -> i64 {
    match position.place {
        Place::Offset { offset, .. } => offset,
        Place::Line(line) => line.cast_signed(),
        _ => panic!("{position}"),
    }
}

pub(crate) fn events(offsets: impl IntoIterator<Item = i64>) -> Vec<String> {
    offsets.into_iter().map(|offset| format!("e{offset}")).collect()
}

pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::Publish, "the connection was lost")
}

/// Lets every task run until all wait.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
