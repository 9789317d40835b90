use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::cluster::{ClusterResponse, RequestKind, ResponsePart, ServerStatus};
use crate::diagnosis::Examination;
use crate::memory::{MemoryBus, MemoryManager};
use crate::{Health, Incoming};

fn checks() -> Checks {
    Checks {
        timeout: Duration::from_secs(30),
        watch: Duration::ZERO,
        ..Checks::default()
    }
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

fn evidence(report: &Report, code: Code) -> &str {
    let finding = report.findings.iter().find(|finding| finding.code == code);
    &finding.unwrap_or_else(|| panic!("no {code} in {report:?}")).evidence
}

/// Announces a server whenever that is requested, and responds with `status` and `clients`, if there is a status.
async fn serve(manager: MemoryManager, status: Option<ServerStatus>, clients: u64) {
    let me = HostId::random();
    let mut subscription = manager.subscribe().await.unwrap();
    let publish = async |message: Message| {
        let host_id = Some(me.clone());
        manager
            .publish(wire::python::encode(&Envelope::new(host_id, message)))
            .await
            .unwrap();
    };
    while let Some(Incoming::Message(bytes)) = subscription.recv().await {
        let Ok(envelope) = wire::python::decode(&bytes) else {
            continue;
        };
        match (envelope.message, envelope.host_id, &status) {
            (Message::Seek, ..) => publish(Message::Present).await,
            (Message::Request(request), Some(to), Some(status)) => {
                let part = match request.kind {
                    RequestKind::Servers => ResponsePart::Present(Box::new(status.clone())),
                    _ => ResponsePart::Count(clients),
                };
                let response = ClusterResponse {
                    to,
                    id: request.id.unwrap(),
                    part,
                    number: 0,
                    is_last: true,
                    is_truncated: false,
                };
                publish(Message::Response(response)).await;
            }
            _ => {}
        }
    }
}

/// Diagnoses a channel with one server.
async fn with_server(status: Option<ServerStatus>, clients: u64) -> Report {
    let bus = MemoryBus::new();
    let server = tokio::spawn(serve(bus.manager("socketio"), status, clients));
    tokio::task::yield_now().await;
    let report = diagnose(Arc::new(bus.manager("socketio")), &checks()).await;
    server.abort();
    report
}

fn healthy() -> ServerStatus {
    ServerStatus {
        host_name: "h".to_owned(),
        clients: 2,
        clock: SystemTime::now(),
        ..ServerStatus::default()
    }
}

/// A manager whose broker does not respond to an examination.
struct Unexamined(MemoryManager);

#[async_trait]
impl ClientManager for Unexamined {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.0.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.0.subscribe().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.close().await
    }

    async fn examine(&self, _: Circumstances) -> Examination {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_examination_that_takes_too_long_is_said_to_be_missing() {
    let manager = Unexamined(MemoryBus::new().manager("socketio"));
    let report = diagnose(Arc::new(manager), &checks()).await;
    assert!(report.has(Code::RoundTrip) && !report.has(Code::TimedOut), "{report:?}");
    assert!(
        evidence(&report, Code::NotChecked).contains("not complete within"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_server_that_responds_is_healthy() {
    let report = with_server(Some(healthy()), 2).await;
    assert_eq!(
        codes(&report),
        [Code::Reachable, Code::RoundTrip, Code::Servers],
        "{report:?}"
    );
    assert_eq!(evidence(&report, Code::Servers), "1 responded, with 2 clients");
    assert!(report.is_healthy());
}

#[tokio::test]
async fn gaps_another_clock_and_an_empty_namespace_are_warnings() {
    let status = ServerStatus {
        gaps: 3,
        clock: SystemTime::now() + Duration::from_secs(3600),
        ..healthy()
    };
    let report = with_server(Some(status), 0).await;
    for (code, text) in [
        (Code::ServerGaps, "messages: 3"),
        (Code::ClockSkew, "ahead"),
        (Code::EmptyNamespace, "2 in other namespaces"),
    ] {
        assert!(evidence(&report, code).contains(text), "{report:?}");
    }
    assert!(
        report.is_healthy() && report.count(Severity::Warning) == 3,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_server_that_announces_itself_and_does_not_respond_is_named() {
    tokio::time::pause();
    let report = with_server(None, 0).await;
    assert!(
        report.has(Code::SilentServer) && !report.has(Code::NoServer),
        "{report:?}"
    );
    assert!(!report.is_healthy());
}

#[tokio::test]
async fn what_passes_on_the_channel_is_counted_and_not_kept() {
    let bus = MemoryBus::new();
    let publisher = bus.manager("socketio");
    let publishing = tokio::spawn(async move {
        loop {
            for message in [&b"\x80\x04\x95pickle"[..], b"\x1b[2Jnonsense", b"{}"] {
                publisher.publish(Bytes::from_static(message)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let checks = Checks {
        watch: Duration::from_millis(200),
        ..checks()
    };
    let report = diagnose(Arc::new(bus.manager("socketio")), &checks).await;
    publishing.abort();
    assert!(evidence(&report, Code::Pickle).contains("pickles"), "{report:?}");
    let said = evidence(&report, Code::Undecodable);
    assert!(
        said.contains("not a JSON message") && said.contains("no method"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said}");
}

/// A manager with an error for each call, and an examination of its own; it may not answer at all.
struct Broken {
    cause: Option<Code>,
    is_examined: AtomicBool,
}

impl Broken {
    fn error(&self) -> Error {
        Error::new(ErrorKind::Connect, "cannot")
            .with_cause(self.cause)
            .refused()
    }
}

#[async_trait]
impl ClientManager for Broken {
    async fn publish(&self, _: Bytes) -> Result<(), Error> {
        match self.cause {
            None => std::future::pending().await,
            Some(_) => Err(self.error()),
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        Err(self.error())
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn health(&self) -> Health {
        Health {
            last_error: Some((SystemTime::UNIX_EPOCH, "the cable was cut".to_owned())),
            ..Health::default()
        }
    }

    async fn examine(&self, known: Circumstances) -> Examination {
        self.is_examined.store(!known.has_servers, Ordering::Relaxed);
        let mut examination = Examination {
            other_channels: vec!["flask-socketio".to_owned()],
            ..Examination::default()
        };
        examination.not_checked("limits", "not permitted");
        examination
    }
}

fn broken(cause: Option<Code>) -> Arc<Broken> {
    Arc::new(Broken {
        cause,
        is_examined: AtomicBool::new(false),
    })
}

#[tokio::test]
async fn the_cause_of_an_error_is_the_code_and_the_broker_is_examined_all_the_same() {
    for (cause, others) in [
        (Code::Login, &[][..]),
        (Code::MissingRight, &[]),
        // The channel may be misspelt.
        (Code::TopicMissing, &[Code::OtherChannel]),
    ] {
        let manager = broken(Some(cause));
        let report = diagnose(manager.clone(), &checks()).await;
        let expected = [&[cause, Code::NotChecked], others].concat();
        assert_eq!(codes(&report), expected, "{report:?}");
        assert!(manager.is_examined.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_out_of_reach_within_the_timeout_for_the_reason_that_the_manager_knows() {
    tokio::time::pause();
    let begun = Instant::now();
    let report = diagnose(broken(None), &checks()).await;
    assert!(begun.elapsed() <= checks().timeout, "{:?}", begun.elapsed());
    assert!(
        evidence(&report, Code::Unreachable).contains("the cable was cut"),
        "{report:?}"
    );
}
