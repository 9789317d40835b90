use std::time::Duration;

use integration::DEADLINE;
use integration::process::Process;
use tokio::process::Command;

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn("a shell", command)
}

#[tokio::test]
async fn lines_are_events_in_their_order() {
    let mut process = shell("echo one; echo two; echo three; read line; echo \"got $line\"");
    assert_eq!(process.expect_line(DEADLINE, |line| line == "two").await, "two");
    assert_eq!(process.next_line(DEADLINE).await.as_deref(), Some("three"));
    process.send_line("four").await;
    assert_eq!(process.next_line(DEADLINE).await.as_deref(), Some("got four"));
    assert_eq!(process.next_line(DEADLINE).await, None);
    assert!(process.wait(DEADLINE).await.success());
}

#[tokio::test]
#[should_panic(expected = "what went wrong")]
async fn a_failure_shows_standard_error() {
    let mut process = shell("echo what went wrong >&2; exec 2>&-; echo something; sleep 600");
    process.expect_line(DEADLINE, |line| line == "something").await;
    // Shown when it is read, which the line on the other stream does not prove.
    while process.stderr().is_empty() {
        tokio::task::yield_now().await;
    }
    process.expect_line(Duration::from_millis(50), |_| false).await;
}

#[tokio::test]
#[should_panic(expected = "before it ended")]
async fn an_early_end_is_told_from_silence() {
    shell("echo other").expect_line(DEADLINE, |line| line == "wanted").await;
}

#[tokio::test]
async fn signals_arrive() {
    let mut process = shell("trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    process.expect_line(DEADLINE, |line| line == "ready").await;
    process.signal("TERM");
    process.expect_line(DEADLINE, |line| line == "caught").await;
    assert_eq!(process.wait(DEADLINE).await.code(), Some(3));
}

#[tokio::test]
async fn what_a_process_said_last_is_there_once_its_end_was_seen() {
    // Written after the end of the shell, as if it were read late.
    let mut process = shell("(sleep 0.2; echo last words >&2) & exit 4");
    assert_eq!(process.wait(DEADLINE).await.code(), Some(4));
    assert_eq!(process.stderr(), "last words\n");
}
