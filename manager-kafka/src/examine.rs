//! The examination of the brokers: advertised addresses, partitions and retention of the topic, other topics.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use manager_api::diagnosis::{Circumstances, Code, Examination, Finding};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::metadata::Metadata;

use crate::connect::Connector;
use crate::context::Quiet;

/// The limit of connecting to one address of a broker.
const DIAL: Duration = Duration::from_millis(500);
/// The limit of one request, after which it is repeated.
const SLICE: Duration = Duration::from_secs(1);
/// The brokers whose addresses are tried.
const MAX_BROKERS: usize = 16;
/// The shortest retention that is not reported.
const SHORT: Duration = Duration::from_secs(60);
/// The property of a topic that holds it, in milliseconds; negative is for ever.
const RETENTION: &str = "retention.ms";
/// Parts of the names of topics for Socket.IO.
const NAMES: [&str; 2] = ["socketio", "socket.io"];

/// Examines the brokers. Blocks for at most the limit.
pub(crate) fn examine(connector: &Connector, known: &Circumstances) -> Examination {
    let mut examination = Examination::default();
    let until = Instant::now() + known.limit;
    let left = || until.saturating_duration_since(Instant::now());
    let Ok(admin) = connector.admin() else {
        return examination;
    };
    // The caller has reported before why it cannot connect.
    let Some(metadata) = metadata(&admin, known.limit / 2) else {
        return examination;
    };
    let are_reached = reach(&metadata, until, &mut examination);
    let topic = metadata.topics().iter().find(|topic| topic.name() == connector.topic());
    let num_partitions = topic.map_or(0, |topic| topic.partitions().len());
    let subject = format!("topic {}", connector.topic());
    if num_partitions > 1 {
        let evidence = format!("it has {num_partitions} partitions");
        examination
            .findings
            .push(Finding::new(Code::SeveralPartitions, &subject, evidence));
    }
    if num_partitions > 0 && are_reached {
        compare_retention(connector.topic(), &admin, left(), &mut examination);
    }
    if !known.has_servers {
        let names = metadata.topics().iter().map(|topic| topic.name());
        let others = names.filter(|name| *name != connector.topic() && NAMES.iter().any(|known| name.contains(known)));
        examination.other_channels = others.map(str::to_owned).collect();
        examination.other_channels.sort();
    }
    examination
}

/// Requests the brokers and topics; `None` without a response within `limit`, as where no advertised address can be
/// reached: the client library gives up those of the URL once it knows the others. Errors of calls name that cause.
fn metadata(admin: &AdminClient<Quiet>, limit: Duration) -> Option<Metadata> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        if let Ok(metadata) = admin.inner().fetch_metadata(None, left.min(SLICE)) {
            return Some(metadata);
        }
    }
}

/// Connects to every broker where the metadata says that it is; false if one cannot be reached.
fn reach(metadata: &Metadata, until: Instant, examination: &mut Examination) -> bool {
    let mut are_reached = true;
    for broker in metadata.brokers().iter().take(MAX_BROKERS) {
        let limit = until.saturating_duration_since(Instant::now()).min(DIAL);
        let Some(port) = u16::try_from(broker.port()).ok().filter(|_| !limit.is_zero()) else {
            continue;
        };
        let address = format!("{}:{port}", broker.host());
        if let Err(error) = dial(broker.host(), port, limit) {
            let evidence =
                format!("its address is {address}, as the brokers say, and it cannot be reached there: {error}");
            let subject = format!("Kafka broker {}", broker.id());
            let finding = Finding::new(Code::AdvertisedListener, subject, evidence);
            examination.findings.push(finding);
            are_reached = false;
        }
    }
    are_reached
}

/// Connects to the first address that accepts. The name look-up has no limit of its own.
fn dial(host: &str, port: u16, limit: Duration) -> io::Result<()> {
    let mut latest = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()?.take(2) {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(_) => return Ok(()),
            Err(error) => latest = error,
        }
    }
    Err(latest)
}

/// Requests how long the topic keeps messages, and reports it if that is short.
fn compare_retention(topic: &str, admin: &AdminClient<Quiet>, limit: Duration, examination: &mut Examination) {
    let subject = format!("{RETENTION} of topic {topic}");
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return;
    };
    let options = AdminOptions::new().request_timeout(Some(limit));
    let asked = runtime.block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
    let described = match asked.map(|described| described.into_iter().next()) {
        Ok(Some(Ok(described))) => described,
        Ok(Some(Err(code))) => {
            let why = format!(
                "the user may lack the right DescribeConfigs on the topic, which is needed for this only ({code})"
            );
            return examination.not_checked(subject, why);
        }
        Ok(None) => return,
        Err(error) => return examination.not_checked(subject, error.to_string()),
    };
    let retention = described
        .get(RETENTION)
        .and_then(|entry| entry.value.as_ref()?.parse().ok());
    if let Some(retention) = retention
        .map(Duration::from_millis)
        .filter(|retention| *retention < SHORT)
    {
        let evidence = format!("messages may be deleted after {retention:?}");
        examination
            .findings
            .push(Finding::new(Code::ShortRetention, subject, evidence));
    }
}
