//! `sio relay`: records of a source into rooms.

use std::fs::OpenOptions;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use gateway::admin::{AdminService, Operated};
use gateway::listen::Bound;
use manager_api::source::{Record, Source};
use relay::{DeadLines, LinesSource, Map, Relay, RelayError, RelayStatus};

use crate::backend::Backend;
use crate::failure::Failure;
use crate::plan::RelayPlan;
use crate::plan::{MapPlan, SourcePlan};
use crate::stop::{self, Signal};
use crate::{log, output};

/// The name of standard input in the places of records.
const STDIN: &str = "standard input";

pub(super) async fn run(plan: RelayPlan) -> Result<(), Failure> {
    if let Some(sample) = plan.check {
        return check(sample, &plan.map, plan.broker.options.max_message_bytes);
    }
    log::set_level(plan.log_level);
    let backend = plan.broker.backend()?;
    let signal: Arc<OnceLock<Signal>> = Arc::default();
    let (seen, requested) = (Arc::clone(&signal), stop::requested());
    let described = format!("{:?}", plan.source);
    let source = source(plan.source)?;
    let relay = Relay::new(
        source,
        plan.map,
        Arc::clone(&backend.manager),
        backend.emitter(),
        plan.options,
    );
    let status = relay.status();
    let operators = match &plan.admin_listen {
        Some(address) => operators(address, status.clone()).await?,
        None => String::new(),
    };
    if !plan.quiet {
        let text = format!(
            "source           {described}\nbroker           {}\n{operators}",
            backend.url
        );
        announce(text).await;
    }
    let outcome = relay.run(stopped(requested, seen)).await;
    if !plan.quiet {
        output::tell(&format!("sio: {}", summary(&status)));
    }
    let done = outcome.map_err(|error| failure(&backend, signal.get().copied(), error));
    super::emit::close_after(&done, &backend.emitter()).await;
    done
}

/// Waits for the signal to end, and remembers it.
async fn stopped(requested: impl Future<Output = Signal>, seen: Arc<OnceLock<Signal>>) {
    let signal = requested.await;
    // It is set once: further signals end the process.
    let _ = seen.set(signal);
}

/// Starts the source.
fn source(plan: SourcePlan) -> Result<Arc<dyn Source>, Failure> {
    let (dead_letters, max_record) = match plan {
        SourcePlan::Broker { source, .. } => return Ok(source),
        SourcePlan::Stdin {
            dead_letters,
            max_record,
        } => (dead_letters, max_record),
    };
    let dead = match dead_letters {
        None => DeadLines::to(std::io::stderr()),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let attempt = format!("cannot open {}", path.display());
            DeadLines::to(file.map_err(Failure::system(attempt))?)
        }
    };
    let source = LinesSource::start(STDIN, std::io::stdin(), dead, max_record);
    Ok(Arc::new(source.map_err(Failure::system("cannot start a thread"))?))
}

/// What the end of a relay means for the command.
fn failure(backend: &Backend, signal: Option<Signal>, error: RelayError) -> Failure {
    match (error, signal) {
        (error @ RelayError::Strict { .. }, _) => Failure::input(error),
        (RelayError::Broker(error), _) => backend.failure("emit", error),
        (RelayError::Source(error), _) => Failure::of(error, "cannot read the source".to_owned()),
        (error, Some(signal)) => Failure::signal(signal, error),
        (error, None) => Failure::broker(error),
    }
}

fn summary(status: &RelayStatus) -> String {
    let numbers = status.numbers();
    let dead = numbers.unmapped + numbers.refused;
    format!(
        "{} records read, {} emitted, {dead} dead letters, {} acknowledged",
        numbers.read, numbers.emitted, numbers.acknowledged
    )
}

/// A relay as operators' tools see it.
struct Observed(RelayStatus);

impl Operated for Observed {
    fn metrics(&self) -> String {
        self.0.render()
    }

    fn check_ready(&self) -> Result<(), String> {
        self.0.check_ready()
    }
}

/// Serves metrics and health, to the end of the process. Returns the line that says where.
async fn operators(address: &gateway::listen::Address, status: RelayStatus) -> Result<String, Failure> {
    let Bound::Tcp(listener) = super::serve::bind(address, "name another with --admin-listen").await? else {
        return Err(Failure::input("--admin-listen is HOST:PORT"));
    };
    let addr = listener.local_addr().map_err(Failure::system("cannot listen"))?;
    let service = AdminService::observing(Observed(status));
    tokio::spawn(gateway::admin::serve(listener, service, std::future::pending()));
    Ok(format!(
        "for operators    http://{addr}/metrics  /health/ready  /health/live\n"
    ))
}

/// Says what is relayed. It goes on although this cannot be printed.
async fn announce(text: String) {
    match output::printed(text).await {
        Ok(()) | Err(Failure::ClosedPipe) => {}
        Err(failure) => tracing::warn!("{failure}; relaying all the same"),
    }
}

/// Prints what would be emitted for a record whose body is standard input.
fn check(mut sample: Record, map: &MapPlan, max_bytes: usize) -> Result<(), Failure> {
    let mut body = Vec::new();
    let mut input = std::io::stdin().take(max_bytes as u64 + 1);
    input
        .read_to_end(&mut body)
        .map_err(Failure::system("cannot read standard input"))?;
    if body.len() > max_bytes {
        return Err(Failure::input(format!(
            "standard input has more than {max_bytes} bytes"
        )));
    }
    sample.body = body.strip_suffix(b"\n").unwrap_or(&body).to_vec().into();
    let mapped = map
        .map(&sample)
        .map_err(|why| Failure::input(format!("the record cannot be mapped: {why}")))?;
    let key = mapped.key_for(&sample);
    let event = serde_json::json!({
        "namespace": mapped.namespace.as_str(),
        "room": mapped.rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>(),
        "except_rooms": mapped.except.iter().map(|room| room.as_str()).collect::<Vec<_>>(),
        "event": mapped.event.as_str(),
        "args": mapped.payload.arguments(),
        "attachments": mapped.payload.attachments().len(),
        "key": key,
    });
    output::print_line(&output::json_line(event.to_string()))
}
