//! Records that cannot be mapped: dead letters with their reason, and `--strict`.

use super::outbox::Table;
use super::{Amqp, Kafka, Kind, Lines, RedisStream, Rig, acknowledged, ready};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_entries_of_a_redis_stream_become_entries_of_another_one() {
    bury::<RedisStream>().await;
    refuse_strictly::<RedisStream>("stream \"stream-").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_of_kafka_become_messages_of_another_topic() {
    bury::<Kafka>().await;
    refuse_strictly::<Kafka>("partition 0, offset 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_messages_of_a_queue_go_to_another_queue() {
    bury::<Amqp>().await;
    refuse_strictly::<Amqp>("delivery 1 of connection 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_of_a_table_become_rows_of_another_one() {
    bury::<Table>().await;
    refuse_strictly::<Table>(", row 1").await;
}

/// Poison among good records: the good ones arrive, the bad ones are found with the reason, and all are acknowledged.
async fn bury<K: Kind>() {
    let mut rig = Rig::new(K::new().await).await;
    let mut relay = rig.relay(&["--admin-listen", "0"]);
    let address = ready(&mut relay).await;
    rig.kind
        .append(vec![
            "{\"n\":0}".into(),
            "poison".into(),
            "{\"m\":1}".into(),
            "{\"n\":1}".into(),
        ])
        .await;
    rig.take(2, integration::DEADLINE).await;
    assert_eq!(rig.lost_and_doubled(2), (0, 0));
    let mut letters = rig.kind.dead_letters(2).await;
    letters.sort();
    let [(absent, first), (not_json, second)] = &letters[..] else {
        panic!("{letters:?}")
    };
    assert!(absent.contains("nothing at /n") && first == "{\"m\":1}", "{letters:?}");
    assert!(not_json.contains("not JSON") && second == "poison", "{letters:?}");
    let metrics = acknowledged(&address, 4).await;
    assert!(
        metrics.contains("sio_relay_dead_letters_total{reason=\"unmapped\"} 2"),
        "{metrics}"
    );
    relay.signal("TERM");
    let status = relay.wait(integration::DEADLINE).await;
    let said = relay.stderr();
    assert!(
        status.success() && said.contains("WARN dead letter: "),
        "{status}: {said}"
    );
}

async fn refuse_strictly<K: Kind>(place: &str) {
    let mut rig = Rig::new(K::new().await).await;
    rig.kind.append(vec!["poison".into()]).await;
    let mut relay = rig.relay(&["--strict"]);
    let status = relay.wait(integration::DEADLINE).await;
    let said = relay.stderr();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains(place) && said.contains("not JSON"), "{said}");
    // It was not acknowledged: another relay gets it.
    let mut again = rig.relay(&["--strict"]);
    let status = again.wait(integration::DEADLINE).await;
    assert_eq!(status.code(), Some(2), "{}", again.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_written_to_a_file_and_the_others_pass() {
    let mut rig = Rig::new(Lines::new().await).await;
    let mut relay = rig.relay(&[]);
    for line in ["{\"n\":0}", "poison", "{\"n\":1}"] {
        relay.send_line(line).await;
    }
    relay.close_stdin();
    let status = relay.wait(integration::DEADLINE).await;
    assert!(status.success(), "{status}: {}", relay.stderr());
    assert!(
        relay.stderr().contains("3 records read, 2 emitted, 1 dead letters"),
        "{}",
        relay.stderr()
    );
    rig.take(2, integration::DEADLINE).await;
    assert_eq!(rig.lost_and_doubled(2), (0, 0));
    let letters = rig.kind.dead_letters(1).await;
    assert_eq!(letters[0].1, "poison");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_objects_name_their_event_and_a_strict_relay_stops_at_the_first_that_is_none() {
    let mut rig = Rig::new(Lines::new().await).await;
    let mut command = tokio::process::Command::new(integration::tools::sio());
    command.args(["relay", "stdin", "--strict", "--room", super::ROOM]);
    command.args(["--url", rig.redis, "--channel", &rig.channel]);
    let mut relay = integration::process::Process::spawn("sio relay", command);
    relay.send_line("{\"event\":\"record\",\"data\":0}").await;
    relay.send_line("poison").await;
    let status = relay.wait(integration::DEADLINE).await;
    let said = relay.stderr();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains("standard input, line 2") && said.contains("not an object"),
        "{said}"
    );
    rig.take(1, integration::DEADLINE).await;
    assert_eq!(rig.lost_and_doubled(1), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_a_dead_letter_with_its_body_as_the_queue_keeps_none() {
    let large = format!("{{\"n\":0,\"filler\":\"{}\"}}", "a".repeat(5_000));
    let (reason, body) = bury_between(Amqp::new().await, &large, &["--max-record", "4096"]).await;
    assert!(reason.contains("bytes, over the limit"), "{reason}");
    assert_eq!(body, large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_topic_of_dead_letters_does_not_take_does_not_hold_up_later_ones() {
    let kafka = Kafka::new().await;
    kafka.create(".dead", 1, &[("max.message.bytes", "2000")]).await;
    let poison = "poison ".repeat(1_000);
    let (reason, body) = bury_between(kafka, &poison, &[]).await;
    assert!(
        reason.contains("not JSON") && reason.contains("too large for this topic"),
        "{reason}"
    );
    assert_eq!(body, "");
}

/// Appends a record that cannot be used between two good ones, and returns the reason and the body of its dead letter.
async fn bury_between<K: Kind>(kind: K, bad: &str, more: &[&str]) -> (String, String) {
    let mut rig = Rig::new(kind).await;
    let mut relay = rig.relay(&[&["--admin-listen", "0"], more].concat());
    let address = ready(&mut relay).await;
    let bodies = ["{\"n\":0}", bad, "{\"n\":1}"].map(str::to_owned);
    rig.kind.append(bodies.into()).await;
    rig.take(2, integration::DEADLINE).await;
    assert_eq!(rig.lost_and_doubled(2), (0, 0));
    acknowledged(&address, 3).await;
    let letter = rig.kind.dead_letters(1).await.remove(0);
    relay.signal("TERM");
    let status = relay.wait(integration::DEADLINE).await;
    assert!(status.success(), "{status}: {}", relay.stderr());
    letter
}
