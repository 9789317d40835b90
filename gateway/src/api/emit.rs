//! `POST /api/emit`: one event, or a list of events.
//!
//! All of a request is read and checked before the first event is emitted. Events are then emitted
//! one after the other, because their order is the order in which clients get them.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use manager_api::cluster::{DEFAULT_REQUEST_TIMEOUT, Receipt};
use manager_api::{Broadcast, Error, EventName, IdempotencyKey, NamespaceName, Payload, Room, Sid};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::config::ApiConfig;
use super::data;
use super::fields::{Fields, invalid, missing, not_json, too_many};
use super::idempotency;
use super::key::KeyInUse;
use super::problem::{Code, Problem};
use super::target::Target;

/// The fields of an event.
pub(super) const FIELDS: [&str; 12] = [
    "event",
    "namespace",
    "rooms",
    "except",
    "skip",
    "args",
    "data",
    "volatile",
    "compress",
    "receipt",
    "timeout",
    "idempotency_key",
];

/// An event to be emitted.
#[derive(Debug)]
pub(super) struct Event {
    namespace: NamespaceName,
    event: EventName,
    rooms: Vec<Room>,
    except: Vec<Room>,
    skip: Vec<Sid>,
    payload: Payload,
    volatile: bool,
    compress: bool,
    receipt: bool,
    timeout: Duration,
    key: Option<IdempotencyKey>,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Emitted {
    /// How many events the broker has accepted.
    pub(super) accepted: usize,
    /// For each event that asked for one, in their order, otherwise `null`; left out if none asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipts: Option<Vec<Option<ReceiptBody>>>,
}

/// How many clients an event was handed to.
#[derive(Debug, Serialize)]
pub(super) struct ReceiptBody {
    pub(super) clients: u64,
    pub(super) servers: Vec<ServerBody>,
    pub(super) missing_servers: Vec<String>,
}

/// The clients of one server.
#[derive(Debug, Serialize)]
pub(super) struct ServerBody {
    pub(super) server: String,
    pub(super) clients: u64,
}

impl From<Receipt> for ReceiptBody {
    fn from(receipt: Receipt) -> Self {
        let server = |each: &manager_api::cluster::ServerReceipt| ServerBody {
            server: each.server.to_string(),
            clients: each.clients,
        };
        Self {
            clients: receipt.num_clients(),
            servers: receipt.servers.iter().map(server).collect(),
            missing_servers: receipt.missing_servers.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Reads one event, or a list of events. If one of them is wrong, none is emitted. The header's key is that of a single
/// event.
pub(super) fn read(headers: &HeaderMap, body: &str, config: &ApiConfig) -> Result<Vec<Event>, Problem> {
    let json: &RawValue = serde_json::from_str(body).map_err(|error| not_json(&error))?;
    let key = idempotency::of_header(headers)?;
    if !json.get().starts_with('[') {
        let mut event = event(json.get(), config)?;
        event.key = idempotency::either(key, event.key)?;
        return Ok(vec![event]);
    }
    if key.is_some() {
        return Err(idempotency::for_a_list());
    }
    let entries: Vec<&RawValue> = serde_json::from_str(json.get()).map_err(|error| not_json(&error))?;
    let (count, max) = (entries.len(), config.max_batch);
    if count > max {
        let detail = format!("{count} events in one request: the limit is {max}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, Code::TooMany, detail));
    }
    let entries = entries.into_iter().enumerate();
    let events = entries.map(|(index, entry)| event(entry.get(), config).map_err(|problem| problem.at(Some(index))));
    events.collect()
}

/// Reads one event, and checks all of it that can be checked without a broker.
fn event(json: &str, config: &ApiConfig) -> Result<Event, Problem> {
    let fields = Fields::read(json, &FIELDS)?;
    let name: String = fields.optional("event", "text")?.ok_or_else(|| missing("event"))?;
    let event =
        EventName::new(&name).map_err(|error| Problem::field(Code::ReservedEvent, "event", error.to_string()))?;
    let max = config.max_names;
    let (rooms, except) = (fields.rooms("rooms", max)?, fields.rooms("except", max)?);
    let skip = fields.rooms("skip", max)?;
    let count = rooms.len() + except.len() + skip.len();
    if count > max {
        return Err(too_many("rooms", count, max));
    }
    // An empty list is more likely a mistake than a wish to reach all.
    if rooms.is_empty() && fields.raw("rooms").is_some() {
        return Err(invalid(
            "rooms",
            "the list is empty; without it, the event is for all clients",
        ));
    }
    let flag = |name: &str| fields.optional::<bool>(name, "true or false");
    Ok(Event {
        namespace: fields.namespace()?,
        event,
        rooms,
        except,
        skip: skip.iter().map(|sid| Sid::from(sid.as_str())).collect(),
        payload: data::payload(fields.raw("args"), fields.raw("data"))?,
        volatile: flag("volatile")?.unwrap_or_default(),
        compress: flag("compress")?.unwrap_or(true),
        receipt: flag("receipt")?.unwrap_or_default(),
        timeout: wait(fields.optional("timeout", "a number of seconds")?, config)?,
        key: idempotency::of_field(&fields)?,
    })
}

/// Returns how long servers are waited for.
pub(super) fn wait(seconds: Option<f64>, config: &ApiConfig) -> Result<Duration, Problem> {
    let max = config.max_timeout;
    match seconds {
        None => Ok(DEFAULT_REQUEST_TIMEOUT.min(max)),
        Some(seconds) if seconds > 0.0 && seconds <= max.as_secs_f64() => Ok(Duration::from_secs_f64(seconds)),
        Some(_) => {
            let detail = format!("expected a number of seconds above 0, up to {}", max.as_secs_f64());
            Err(invalid("timeout", &detail))
        }
    }
}

/// Emits events in their order; each has been accepted by the broker before the next is sent.
pub(super) async fn run(
    target: &Target,
    key: &KeyInUse,
    events: Vec<Event>,
    config: &ApiConfig,
) -> Result<Emitted, Problem> {
    let is_list = events.len() > 1;
    for (index, event) in events.iter().enumerate() {
        if !key.may_use(&event.namespace) {
            return Err(forbidden_namespace().at(is_list.then_some(index)));
        }
    }
    if let Err(seconds) = key.take(events.len()) {
        let detail = "the events of this key in a second are used up";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, detail).retry_after(seconds));
    }
    let deadline = Instant::now() + config.emit_timeout;
    let mut emitted = Emitted::default();
    if events.iter().any(|event| event.receipt) {
        emitted.receipts = Some(Vec::with_capacity(events.len()));
    }
    for (index, event) in events.into_iter().enumerate() {
        let failed = |problem: Problem| problem.at(is_list.then_some(index)).after(index);
        let receipt = match timeout_at(deadline, event.emit(target)).await {
            Ok(Ok(receipt)) => receipt,
            Ok(Err(error)) => return Err(failed(Problem::of(&error))),
            Err(_) => {
                let detail = "the time for the events of one request is over; the event that was being sent may have been published";
                return Err(failed(Problem::new(StatusCode::GATEWAY_TIMEOUT, Code::Timeout, detail)));
            }
        };
        emitted.accepted += 1;
        if let Some(receipts) = &mut emitted.receipts {
            receipts.push(receipt.map(ReceiptBody::from));
        }
    }
    Ok(emitted)
}

/// Refuses a namespace that the key is not for.
pub(super) fn forbidden_namespace() -> Problem {
    Problem::field(Code::Forbidden, "namespace", "this key is for other namespaces").with_status(StatusCode::FORBIDDEN)
}

impl Event {
    /// Emits the event, and waits for the receipt if one was asked for.
    async fn emit(self, target: &Target) -> Result<Option<Receipt>, Error> {
        let broadcast = self.address(target.of(&self.namespace));
        match self.receipt {
            false => broadcast.emit_payload(self.event, self.payload).await.map(|()| None),
            true => {
                let receipt = broadcast.timeout(self.timeout);
                let receipt = receipt.emit_payload_with_receipt(self.event.as_str(), self.payload);
                receipt.await.map(Some)
            }
        }
    }

    /// Adds who gets the event, and how.
    fn address(&self, broadcast: Broadcast) -> Broadcast {
        let broadcast = broadcast.to_all(&self.rooms).compress(self.compress);
        let broadcast = self.except.iter().fold(broadcast, Broadcast::except);
        let broadcast = self.skip.iter().fold(broadcast, Broadcast::skip);
        let broadcast = self.key.iter().fold(broadcast, Broadcast::idempotency_key);
        if self.volatile { broadcast.volatile() } else { broadcast }
    }
}
