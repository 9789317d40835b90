//! Tables of PostgreSQL as sources: their columns, what is refused, and the lag.

use std::time::Duration;

use integration::brokers::{PostgresBroker, RedisBroker};
use integration::process::Process;
use integration::tools;
use manager_api::source::{Reading, Record, Source};
use manager_postgres::{TableSource, TableSourceOptions};
use tokio::process::Command;

use super::outbox::{Table, end};
use super::{Kind, Rig, acknowledged, page, ready};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_the_document_is_relayed_with_its_columns_as_headers_and_dead_letters_go_back() {
    let table = Table::of_the_document(&[]).await;
    table
        .ask(
            "INSERT INTO TABLE_ (aggregatetype, aggregateid, type, payload) VALUES \
              ('lobby', '7', 'record', '5'), ('lobby', '8', 'record', NULL)",
        )
        .await;
    let mut rig = Rig::new(table).await;
    let map = [
        "--event",
        "{header:type}",
        "--room",
        "{header:aggregatetype}",
        "--arg",
        "{/n}",
    ];
    let map = [&map[..4], &["--arg", "{body}", "--admin-listen", "0"]].concat();
    let mut relay = rig.relay(&map);
    let address = ready(&mut relay).await;
    rig.take(1, integration::DEADLINE).await;
    acknowledged(&address, 2).await;
    rig.kind.emptied().await;
    assert_eq!(rig.seen.keys().collect::<Vec<_>>(), [&5]);
    let letters = rig
        .kind
        .ask("SELECT reason, record ->> 'aggregateid' FROM TABLE__dead")
        .await;
    assert!(
        letters[0][0].contains("no field for the body") && letters[0][1] == "8",
        "{letters:?}"
    );
    // Mended, and inserted again.
    rig.kind
        .ask(
            "UPDATE TABLE__dead SET record = jsonb_set(record::jsonb, '{payload}', '6'); \
             WITH back AS (DELETE FROM TABLE__dead RETURNING record) \
             INSERT INTO TABLE_ SELECT (json_populate_record(NULL::TABLE_, record)).* FROM back",
        )
        .await;
    rig.take(2, integration::DEADLINE).await;
    assert_eq!(rig.seen.keys().collect::<Vec<_>>(), [&5, &6]);
    rig.kind.emptied().await;
    end(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_with_uuids_and_binary_bodies_are_relayed_and_one_that_is_too_large_is_kept_whole() {
    let url = PostgresBroker::shared().await.url();
    let columns = "event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), content bytea";
    let more = ["--id-column", "event_id", "--field", "content", "--poll", "100ms"];
    let table = Table::with(url, columns, &more).await;
    table
        .ask(
            "INSERT INTO TABLE_ (content) SELECT convert_to(format('{\"n\":%s}', n), 'UTF8') FROM generate_series(0, 9) AS n; \
             INSERT INTO TABLE_ (content) VALUES (convert_to(repeat('x', 5000), 'UTF8'))",
        )
        .await;
    let mut rig = Rig::new(table).await;
    let mut relay = rig.relay(&["--admin-listen", "0", "--max-record", "4096"]);
    let address = ready(&mut relay).await;
    rig.take(10, integration::DEADLINE).await;
    acknowledged(&address, 11).await;
    rig.kind.emptied().await;
    assert_eq!(rig.lost_and_doubled(10), (0, 0));
    let question = "SELECT reason, length(record ->> 'content'), id::uuid IS NOT NULL FROM TABLE__dead";
    let letters = rig.kind.ask(question).await;
    assert!(letters[0][0].contains("5000 bytes"), "{letters:?}");
    assert_eq!(letters[0][1..], ["10002", "t"], "hexadecimal, with \\x before it");
    end(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lag_is_the_number_of_rows_and_the_age_of_the_oldest() {
    let mut rig = Rig::new(Table::new().await).await;
    rig.kind.append_numbers(0..3).await;
    rig.kind
        .ask("UPDATE TABLE_ SET created_at = now() - interval '1 hour'")
        .await;
    let mut holder = rig.kind.connect().await;
    let holding = holder.transaction().await.unwrap();
    let lock = format!("SELECT FROM {} FOR UPDATE", rig.kind.name);
    holding.batch_execute(&lock).await.unwrap();
    let mut relay = rig.relay(&["--admin-listen", "0"]);
    let address = ready(&mut relay).await;
    within("the lag", async {
        loop {
            let (_, metrics) = page(&address, "/metrics").await;
            if metrics.contains("sio_relay_lag 3\n") {
                assert!(metrics.contains("sio_relay_oldest_seconds 36"), "{metrics}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    holding.rollback().await.unwrap();
    rig.take(3, integration::DEADLINE).await;
    rig.kind.emptied().await;
    end(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_tells_its_lag_also_while_its_rows_are_not_acknowledged() {
    let url = PostgresBroker::shared().await.url();
    let table = Table::with(url, "id bigint PRIMARY KEY, payload text", &[]).await;
    let mut options = TableSourceOptions::new(&*table.name);
    options.hold = Duration::from_secs(3_600);
    let source = TableSource::new(url, options).unwrap();
    table.ask("INSERT INTO TABLE_ VALUES (1, 'a')").await;
    let mut num_read = 0;
    while num_read == 0 {
        if let Reading::Records(records) = within("a reading", source.next()).await.unwrap() {
            num_read = records.len();
        }
    }
    table.ask("INSERT INTO TABLE_ SELECT generate_series(2, 5), 'b'").await;
    let looking = async {
        while source.status().lag != Some(5) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        reading = source.next() => panic!("nothing is acknowledged: {reading:?}"),
        () = within("the lag", looking) => {}
    }
    assert_eq!(source.status().oldest, None, "no column tells when a row was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_cannot_be_relayed_is_refused_with_what_is_missing() {
    let url = PostgresBroker::shared().await.url();
    let table = Table::with(url, "id text PRIMARY KEY, payload text, n bigint", &[]).await;
    for (arguments, expected) in [
        (vec!["--table", "no_such"], "there is no table \"no_such\""),
        (
            vec!["--table", &table.name],
            "ids are smallint, integer, bigint or uuid",
        ),
        (vec!["--table", &table.name, "--id-column", "n"], "has no unique index"),
        (vec!["--table", &table.name, "--id-column", "m"], "has no column \"m\""),
    ] {
        let mut relay = relay_of(url, &arguments).await;
        let status = relay.wait(integration::DEADLINE).await;
        let said = relay.stderr();
        assert!(!status.success() && said.contains(expected), "{status}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_for_a_table_is_named_and_ends_the_relay() {
    let url = PostgresBroker::shared().await.url();
    let table = Table::with(url, "id bigint PRIMARY KEY, payload text", &[]).await;
    table
        .ask("CREATE ROLE TABLE_ LOGIN; GRANT SELECT ON TABLE_ TO TABLE_; INSERT INTO TABLE_ VALUES (1, '5')")
        .await;
    let limited = url.replace("postgres@", &format!("{}@", table.name));
    let mut relay = relay_of(&limited, &["--table", &table.name]).await;
    let status = relay.wait(integration::DEADLINE).await;
    let said = relay.stderr();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("GRANT SELECT, UPDATE, DELETE"), "{said}");
}

/// Two tables with the same ids share a table of dead letters, and a mended row that fails again is a letter again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_row_with_the_id_of_a_dead_letter_is_a_letter_of_its_own() {
    let url = PostgresBroker::shared().await.url();
    let table = Table::with(url, "id bigint PRIMARY KEY, payload text", &[]).await;
    let options = TableSourceOptions::new(&*table.name);
    let source = TableSource::new(url, options).unwrap();
    for payload in ["first", "first", "second"] {
        table
            .ask(&format!(
                "DELETE FROM TABLE_; INSERT INTO TABLE_ VALUES (1, '{payload}')"
            ))
            .await;
        let record = next_row(&source).await;
        // As it is tried again where the answer was lost.
        for _ in 0..2 {
            within("a letter", source.dead_letter(&record, "it is bad"))
                .await
                .unwrap();
        }
        source.acknowledge(&[record.position]).await.unwrap();
        within("it is deleted", async {
            while table.ask("SELECT FROM TABLE_").await.len() == 1 {
                let _ = tokio::time::timeout(Duration::from_millis(20), source.next()).await;
            }
        })
        .await;
    }
    let letters = table
        .ask("SELECT record ->> 'payload' FROM TABLE__dead ORDER BY stored_at")
        .await;
    assert_eq!(letters, [["first"], ["second"]]);
}

/// Few rows are locked that are not handed out with the batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_rows_are_taken_in_small_batches() {
    let url = PostgresBroker::shared().await.url();
    let table = Table::with(url, "id bigint PRIMARY KEY, payload text", &[]).await;
    table
        .ask("INSERT INTO TABLE_ SELECT n, repeat('x', 400000) FROM generate_series(1, 40) AS n")
        .await;
    let source = TableSource::new(url, TableSourceOptions::new(&*table.name)).unwrap();
    let mut taken: Vec<_> = next_rows(&source)
        .await
        .into_iter()
        .map(|record| record.position)
        .collect();
    let locked = "SELECT count(*) FROM (SELECT FROM TABLE_ FOR UPDATE SKIP LOCKED) AS free";
    assert_eq!(table.ask(locked).await, [["0"]], "the first batch does not know yet");
    while taken.len() < 40 {
        source.acknowledge(&taken).await.unwrap();
        if let Reading::Records(records) = within("a reading", source.next()).await.unwrap() {
            taken.extend(records.into_iter().map(|record| record.position));
        }
        let free: usize = table.ask(locked).await[0][0].parse().unwrap();
        let left: usize = table.ask("SELECT count(*) FROM TABLE_").await[0][0].parse().unwrap();
        assert!(left - free <= 12, "{} of {left} rows are locked", left - free);
    }
}

/// Reads until there is a row, and returns the first one.
async fn next_row(source: &TableSource) -> Record {
    next_rows(source).await.swap_remove(0)
}

/// Reads until there are rows.
async fn next_rows(source: &TableSource) -> Vec<Record> {
    within("a row", async {
        loop {
            if let Reading::Records(records) = source.next().await.unwrap()
                && !records.is_empty()
            {
                return records;
            }
        }
    })
    .await
}

async fn relay_of(url: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(tools::sio());
    command.args(["relay", "postgres", url]).args(arguments);
    command.args(["--event", "e", "--channel", "unheard", "--url"]);
    command.arg(RedisBroker::shared().await.url());
    Process::spawn("sio relay", command)
}
