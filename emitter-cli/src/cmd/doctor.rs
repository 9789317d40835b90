//! `sio doctor`: what keeps events from arriving, and what to do about it.

use std::time::Duration;

use manager_api::diagnosis::{Finding, Severity};
use manager_api::doctor::{Report, diagnose};
use serde_json::json;
use siokit::ConnectOptions;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::plan::DoctorPlan;
use crate::{log, output, stop};

/// How long releasing the connections may take.
const CLOSE: Duration = Duration::from_secs(1);

pub(super) async fn run(plan: DoctorPlan) -> Result<(), Failure> {
    let options = ConnectOptions::from(plan.broker.options.clone());
    #[cfg(feature = "kafka")]
    let options = {
        let mut options = options;
        // That it is missing is a finding.
        options.kafka.topic.is_created = false;
        options
    };
    let backend = plan.broker.url.backend(options)?;
    // What they would warn of is found.
    let _unheard = log::without_managers();
    let report = tokio::select! {
        report = diagnose(backend.manager.clone(), &plan.checks) => report,
        signal = stop::requested() => return Err(Failure::signal(signal, "the diagnosis was not complete")),
    };
    output::printed(if plan.json { json(&report) } else { text(&report) }).await?;
    match timeout(CLOSE, backend.manager.close()).await {
        Ok(Ok(())) => {}
        failed => tracing::debug!(?failed, "the connections to the broker did not close cleanly"),
    }
    if report.is_healthy() {
        return Ok(());
    }
    Err(Failure::broker(summary(&report)))
}

/// Returns the findings for people, and what they come to.
fn text(report: &Report) -> String {
    let mut text: String = report.findings.iter().map(lines).collect();
    if report.is_healthy() {
        text.push_str(&match report.count(Severity::Warning) {
            0 => "healthy\n".to_owned(),
            1 => "healthy, with 1 warning\n".to_owned(),
            warnings => format!("healthy, with {warnings} warnings\n"),
        });
    }
    text
}

/// Returns a finding for people: a line, and one with the remedy if there is any.
fn lines(finding: &Finding) -> String {
    let Finding {
        code,
        subject,
        evidence,
        remedy,
        ..
    } = finding;
    let severity = finding.severity();
    let evidence = output::printable(&format!("{subject}: {evidence}"));
    let mut lines = format!("{severity:7}  {code:19}  {evidence}\n");
    if !remedy.is_empty() {
        lines.push_str(&format!("{:7}  {:19}  remedy: {}\n", "", "", output::printable(remedy)));
    }
    lines
}

/// Returns a line of JSON for each finding.
fn json(report: &Report) -> String {
    let line = |finding: &Finding| {
        let line = json!({
            "severity": finding.severity().name(),
            "code": finding.code.name(),
            "subject": finding.subject,
            "evidence": finding.evidence,
            "remedy": finding.remedy,
        });
        output::json_line(line.to_string()) + "\n"
    };
    report.findings.iter().map(line).collect()
}

/// Returns the problems by their codes.
fn summary(report: &Report) -> String {
    let problems = report
        .findings
        .iter()
        .filter(|finding| finding.severity() == Severity::Problem);
    let mut codes: Vec<_> = problems.map(|finding| finding.code.name()).collect();
    let found = match codes.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    codes.dedup();
    format!("{found} found: {}", codes.join(", "))
}

#[cfg(test)]
mod tests {
    use manager_api::diagnosis::Code;

    use super::*;

    #[test]
    fn findings_move_no_cursor_and_are_summed_up_by_their_codes() {
        let mut report = Report::default();
        report
            .findings
            .push(Finding::new(Code::Reachable, "redis://h", "accepts"));
        assert!(text(&report).ends_with("accepts\nhealthy\n"));
        report
            .findings
            .push(Finding::new(Code::Gap, "channel", "\u{1b}[2J\nlost"));
        assert!(text(&report).ends_with("healthy, with 1 warning\n"));
        assert_eq!(text(&report).lines().count(), 4);
        for code in [Code::Pickle, Code::NoServer] {
            report.findings.push(Finding::new(code, "channel", "\u{1b}[2J"));
        }
        assert_eq!(summary(&report), "2 problems found: pickle, no-server");
        let shown = text(&report) + &json(&report);
        assert!(!shown.contains('\u{1b}') && !shown.contains("healthy"), "{shown}");
        let line: serde_json::Value = serde_json::from_str(json(&report).lines().last().unwrap()).unwrap();
        assert_eq!(
            (&line["code"], &line["severity"]),
            (&json!("no-server"), &json!("problem"))
        );
        assert!(line["remedy"].as_str().unwrap().contains("start a server"), "{line}");
    }
}
