//! Emitters alone, and the brokers' own benchmark tools beside them.

use std::env;
use std::ffi::OsString;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::brokers::Running;
use super::{Broker, Kind, Passing};
use crate::process::Cpu;
use crate::report::{Emitted, Report};

/// Bytes of a message on the broker around an event of 128 bytes.
const MESSAGE_LEN: usize = 230;

/// Returns the command of a target's emitter.
pub(super) fn command(kind: Kind, passing: &Passing, broker: &Running) -> Vec<OsString> {
    let mut command = kind.emitter();
    command.extend([
        kind.url(&broker.url).into(),
        passing.num_messages(kind).to_string().into(),
    ]);
    if kind == Kind::Sio {
        command.extend(["--in-flight".into(), passing.in_flight.to_string().into()]);
        if let Some(adapter) = passing.wire {
            command.extend(["--wire".into(), adapter.name().into()]);
        }
    }
    if kind == Kind::Node
        && let Some(adapter) = passing.wire
    {
        command.push(adapter.name().into());
    }
    command
}

/// Runs a target's emitter, or the broker's own tool, without anything that listens.
///
/// # Errors
///
/// If it cannot be started, fails, or prints no report.
pub(super) async fn measure(kind: Kind, passing: &Passing, broker: &Running) -> Result<Report> {
    let num_events = passing.num_messages(kind);
    let emitted = match kind {
        Kind::Tool => tool(passing, broker).await?,
        _ => {
            let printed = run(&command(kind, passing, broker)).await?;
            Emitted::parse(&printed).context("the emitter says nothing of itself")?
        }
    };
    let cpu = Cpu {
        user: emitted.cpu_per_event,
        system: 0.0,
    };
    Ok(Report {
        num_operations: num_events,
        per_second: emitted.per_second,
        cpu: [("emitter".to_owned(), cpu)].into(),
        num_lost: num_events.saturating_sub(emitted.num_events),
        emitter: Some(emitted),
        ..Report::default()
    })
}

async fn run(command: &[OsString]) -> Result<Vec<u8>> {
    let [program, arguments @ ..] = command else {
        bail!("there is not such an emitter");
    };
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {command:?}"))?;
    if !ended.status.success() {
        bail!("{command:?} failed: {}", ended.status);
    }
    Ok(ended.stdout)
}

/// Runs the tool, whose processor time is that of an ended child: it holds the start of a Java process, too.
async fn tool(passing: &Passing, broker: &Running) -> Result<Emitted> {
    let (command, before_rate, behind_rate) = tool_command(passing, broker)?;
    let before = Cpu::of_ended_children()?.total();
    let printed = run(&command).await?;
    let cpu = Cpu::of_ended_children()?.total() - before;
    let text = String::from_utf8_lossy(&printed);
    let per_second = last_number(&text, before_rate, behind_rate);
    Ok(Emitted {
        num_events: passing.num_messages,
        per_second: per_second.with_context(|| format!("{command:?} does not tell its rate: {text}"))?,
        cpu_per_event: cpu / passing.num_messages.max(1) as f64,
    })
}

/// Returns the command, and the words before and behind the rate that it prints.
fn tool_command(passing: &Passing, broker: &Running) -> Result<(Vec<OsString>, &'static str, &'static str)> {
    let (count, in_flight, len) = (passing.num_messages, passing.in_flight, MESSAGE_LEN);
    let (host, port) = broker.address.rsplit_once(':').context("a broker has a port")?;
    let url = broker.url.trim_end_matches('/');
    let address = &broker.address;
    let classes = |folder: OsString| {
        let mut classes = folder;
        classes.push("/*");
        classes
    };
    Ok(match broker.kind {
        Broker::Redis => {
            let text = "x".repeat(len);
            let options =
                format!("redis-benchmark -h {host} -p {port} --csv -c 1 -P 256 -n {count} PUBLISH bench {text}");
            (words(&options), "\"PUBLISH", "\"")
        }
        Broker::Rabbitmq => {
            let jars = env::var_os("SIO_BENCH_PERF_TEST");
            let jars =
                jars.context("SIO_BENCH_PERF_TEST must name a folder with the jars of com.rabbitmq:perf-test")?;
            let options = format!(
                "com.rabbitmq.perf.PerfTest -h {url}/%2f -x 1 -y 0 -t fanout -e bench -c {in_flight} -s {len} -C {count}"
            );
            (java(classes(jars), &options), "sending rate avg: ", " ")
        }
        Broker::Kafka => {
            let libs = integration::brokers::kafka::home().join("libs");
            let options = format!(
                "org.apache.kafka.tools.ProducerPerformance --topic bench --num-records {count} --record-size {len} \
                 --throughput -1 --producer-props bootstrap.servers={address} acks=all linger.ms=5"
            );
            (
                java(classes(libs.into_os_string()), &options),
                "records sent, ",
                " records/sec",
            )
        }
    })
}

fn java(classes: OsString, options: &str) -> Vec<OsString> {
    let mut command = words("java -cp");
    command.push(classes);
    command.extend(words(options));
    command
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// Reads the last number between two texts, digits and separators of thousands alone; a quote or comma in front belongs to the format.
fn last_number(text: &str, before: &str, behind: &str) -> Option<f64> {
    let rest = text.rsplit_once(before)?.1;
    // The name of a command may go on before its figures, as `"PUBLISH bench xxx","524109.01",…`.
    let rest = rest.split_once("\",\"").map_or(rest, |(_, figures)| figures);
    let number = rest.split(behind).next()?;
    number.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::last_number;

    #[test]
    fn the_rates_of_the_tools_are_read() {
        let redis = "\"test\",\"rps\",\"avg_latency_ms\"\n\"PUBLISH bench xxx\",\"1048218.00\",\"0.2\",\"0.1\"\n";
        assert_eq!(last_number(redis, "\"PUBLISH", "\""), Some(1_048_218.0));
        let rabbitmq = "id: test, sending rate avg: 10 msg/s\nid: test, sending rate avg: 145,321 msg/s\n";
        assert_eq!(last_number(rabbitmq, "sending rate avg: ", " "), Some(145_321.0));
        let kafka = "500 records sent, 100.0 records/sec (0.02 MB/sec)\n1000 records sent, 138255.2 records/sec (30.1 MB/sec)\n";
        assert_eq!(last_number(kafka, "records sent, ", " records/sec"), Some(138_255.2));
        assert_eq!(last_number("nothing", "rate", " "), None);
    }
}
