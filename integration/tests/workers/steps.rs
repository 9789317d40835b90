//! Commands of cron, of CI and of Airflow.

use std::fs;

use integration::DEADLINE;
use integration::brokers::RedisBroker;
use integration::process::Process;
use serde_json::json;

use super::stage::{Stage, recipe};
use crate::support::within;

fn read(file: &str) -> String {
    fs::read_to_string(recipe(file)).unwrap()
}

/// Returns what stands in a text between two others.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin:?} in {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} in {rest}")).0
}

#[tokio::test]
async fn a_cron_job_tells_how_it_ended_once() {
    let redis = RedisBroker::start().await;
    let mut stage = Stage::start(&redis.url(), "socketio", "ops", &["cron/nightly"]).await;
    let url_file = stage.folder().join("url");
    fs::write(&url_file, redis.url()).unwrap();
    let crontab = read("cron/crontab");
    let [_, variable, job] = <[&str; 3]>::try_from(crontab.lines().collect::<Vec<_>>()).unwrap();
    assert_eq!(variable, "SIO_URL_FILE=/etc/sio/url");
    let job = job.splitn(6, ' ').last().unwrap();
    let folder = stage.folder().to_str().unwrap().to_owned();
    for (name, program, outcome) in [("backup", "true", "done"), ("restore", "false", "failed")] {
        let job = job.replace("nightly backup", &format!("{folder}/nightly {name}"));
        let job = job.replace("/usr/local/bin/backup", program);
        let mut command = stage.command("/bin/sh", &["-c", &job]);
        command.env("SIO_URL_FILE", &url_file);
        let status = Process::spawn("the job", command).wait(DEADLINE).await;
        assert_eq!(
            status.success(),
            outcome == "done",
            "the code of the job itself: {status}"
        );
        stage.expect(name, json!(outcome)).await;
    }
    stage.ends_without_another().await;
}

#[tokio::test]
async fn a_step_of_github_actions_whose_answer_is_lost_tells_the_room_once() {
    let redis = RedisBroker::start().await;
    let mut stage = Stage::start(&redis.url(), "socketio", "deploys", &[]).await;
    let workflow = read("ci/github.yml");
    let (_, step) = workflow.rsplit_once("run: |\n").expect("the last step has a script");
    let step: String = step.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let event = between(&workflow, "EVENT: '", "'\n").replace("${{ toJSON(job.status) }}", r#""success""#);
    assert!(!event.contains("${{") && workflow.contains("SIO_API_KEY: ${{ secrets.SIO_API_KEY }}"));
    stage.api.mute();
    // As the runner calls it.
    let mut command = stage.command("bash", &["--noprofile", "--norc", "-eo", "pipefail", "-c", &step]);
    command
        .env("EVENT", event)
        .env("GITHUB_RUN_ID", "7")
        .env("GITHUB_JOB", "deploy");
    let mut step = Process::spawn("the step", command);
    stage.expect("deploy", json!({"status": "success"})).await;
    within("the cut", stage.api.cut()).await;
    stage.api.restore();
    let status = step.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", step.stderr());
    stage.ends_without_another().await;
}

#[tokio::test]
async fn a_job_of_gitlab_that_is_run_again_tells_the_room_once() {
    let redis = RedisBroker::start().await;
    let mut stage = Stage::start(&redis.url(), "socketio", "deploys", &[]).await;
    let pipeline = read("ci/gitlab.yml");
    let script = pipeline
        .lines()
        .last()
        .unwrap()
        .trim_start_matches([' ', '-'])
        .to_owned();
    let variables = [("SIO_URL", &*redis.url()), ("CI_PIPELINE_ID", "7")];
    let run = || {
        let mut command = stage.command("sh", &["-ec", &script]);
        command.envs(variables);
        command
    };
    let (mut first, again) = (run(), run());
    let first = within("the first try", first.output()).await.unwrap();
    assert_eq!(first.status.code(), Some(1), "{first:?}");
    stage.run(again).await;
    stage.expect("deploy", json!(7)).await;
    stage.ends_without_another().await;
}

/// The command of the DAG, as Airflow renders it; with `SIO_TEST_AIRFLOW`, the path of `airflow`, Airflow itself runs the DAG.
#[tokio::test]
async fn a_task_of_airflow_that_is_retried_tells_the_room_once() {
    let redis = RedisBroker::start().await;
    let mut stage = Stage::start(&redis.url(), "socketio", "user:ada", &["airflow/reports.py"]).await;
    match std::env::var("SIO_TEST_AIRFLOW") {
        Ok(airflow) => {
            for arguments in [&["db", "migrate"][..], &["dags", "test", "reports"]] {
                let mut command = stage.command(&airflow, arguments);
                command
                    .env("SIO_URL", redis.url())
                    .env("AIRFLOW_HOME", stage.folder())
                    .env("AIRFLOW__CORE__DAGS_FOLDER", stage.folder())
                    .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False");
                stage.run(command).await;
            }
        }
        Err(_) => {
            let dag = read("airflow/reports.py");
            let bash_command = between(&dag, "bash_command='", "',\n");
            let names = ["KEY", "ROOM", "DATA"];
            let rendered = [
                "reports-manual__2026-11-30T10:04:05+00:00-tell",
                "user:ada",
                r#"{"url": "/reports/ada"}"#,
            ];
            for code in [1, 0] {
                let mut command = stage.command("bash", &["-c", bash_command]);
                command
                    .envs(names.into_iter().zip(rendered))
                    .env("SIO_URL", redis.url());
                let output = within("the command", command.output()).await.unwrap();
                assert_eq!(output.status.code(), Some(code), "{output:?}");
            }
        }
    }
    stage.expect("report ready", json!({"url": "/reports/ada"})).await;
    stage.ends_without_another().await;
}
