//! Records under way: what is acknowledged when, what is emitted again, and in which order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod rig;

use std::time::Duration;

use manager_api::lock::Unpoisoned;
use tokio::sync::Semaphore;

use manager_api::source::{Reading, Source};
use manager_api::{Error, ErrorKind};
use relay::RelayError;
use rig::{Broker, Rig, Told, at, events, lost, settle};

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_broker_has_accepted_it() {
    let mut rig = Rig::new(Broker {
        permits: Some(Semaphore::new(0)),
        ..Broker::default()
    });
    rig.read(0..5);
    let relay = rig.relay();
    let status = relay.status();
    let running = tokio::spawn(relay.run(std::future::pending()));
    settle().await;
    assert_eq!(rig.broker.started.lock().unpoisoned().len(), 5, "many are under way");
    assert_eq!((rig.told().0, status.numbers().in_flight), (vec![], 5));
    rig.broker.permits.as_ref().unwrap().add_permits(2);
    settle().await;
    assert_eq!((rig.told().0, status.numbers().in_flight), (vec![0, 1], 3));
    rig.broker.permits.as_ref().unwrap().add_permits(3);
    rig.end();
    running.await.unwrap().unwrap();
    assert_eq!(rig.told(), (vec![2, 3, 4], vec![Told::Closed]));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_emitted_again_before_anything_new_and_acknowledged_in_order() {
    let mut rig = Rig::new(Broker::default());
    *rig.broker.errors.lock().unpoisoned() = [None, Some(lost()), None, Some(lost()), Some(lost())].into();
    rig.options.max_in_flight = 3;
    let relay = rig.relay();
    let status = relay.status();
    let running = tokio::spawn(relay.run(std::future::pending()));
    rig.read(0..3);
    rig.read(3..6);
    settle().await;
    assert_eq!(rig.told().0, [0], "those behind the one that failed wait");
    assert!(status.check_ready().unwrap_err().contains("the connection was lost"));
    rig.end();
    running.await.unwrap().unwrap();
    assert_eq!(rig.accepted(), events([0, 2, 1, 3, 4, 5]));
    assert_eq!(rig.told().0, [1, 2, 3, 4, 5]);
    assert_eq!(status.numbers().emit_failures, 3);
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_keeps_the_order_through_failures() {
    let mut rig = Rig::new(Broker::default());
    *rig.broker.errors.lock().unpoisoned() = [None, Some(lost()), Some(lost()), None, Some(lost())].into();
    rig.options.max_in_flight = 0;
    rig.read(0..6);
    rig.end();
    rig.relay().run(std::future::pending()).await.unwrap();
    assert_eq!(rig.accepted(), events(0..6));
    assert_eq!(rig.told().0, (0..6).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_mapped_or_sent_become_dead_letters_and_the_others_pass() {
    let mut rig = Rig::new(Broker::default());
    let too_large = Error::new(ErrorKind::TooLarge, "over the limit");
    *rig.broker.errors.lock().unpoisoned() = [None, Some(too_large)].into();
    rig.read([0, -1, 2, 3]);
    rig.end();
    let relay = rig.relay();
    let status = relay.status();
    relay.run(std::future::pending()).await.unwrap();
    assert_eq!(rig.accepted(), events([0, 3]));
    let (acknowledged, told) = rig.told();
    assert_eq!(acknowledged, [0, -1, 2, 3], "dead letters are acknowledged, too");
    let [Told::Dead(first, unmapped), Told::Dead(second, refused), Told::Closed] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((first, second), (&at(-1), &at(2)));
    assert!(
        unmapped.contains("cannot be mapped") && unmapped.contains("not JSON"),
        "{unmapped}"
    );
    assert!(refused.contains("over the limit"), "{refused}");
    let numbers = status.numbers();
    assert_eq!((numbers.unmapped, numbers.refused, numbers.acknowledged), (1, 1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_stored_is_not_acknowledged() {
    let mut rig = Rig::new(Broker::default());
    rig.read([-1, 1]);
    rig.source.errors.lock().unpoisoned().extend([lost(), lost()]);
    let running = tokio::spawn(rig.relay().run(std::future::pending()));
    settle().await;
    assert_eq!(rig.told(), (vec![], vec![]));
    rig.end();
    running.await.unwrap().unwrap();
    let (acknowledged, told) = rig.told();
    assert_eq!((acknowledged, told.len()), (vec![-1, 1], 2));
}

#[tokio::test(start_paused = true)]
async fn strict_stops_at_the_record_and_acknowledges_what_came_before() {
    let mut rig = Rig::new(Broker::default());
    rig.options.strict = true;
    rig.read([0, 1, -7, 3]);
    rig.read([4]);
    let error = rig.relay().run(std::future::pending()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("topic \"t\", partition 0, offset -7"), "{said}");
    assert!(matches!(error, RelayError::Strict { .. }));
    assert_eq!(rig.told(), (vec![0, 1], vec![Told::Closed]));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_the_first_event_ends_the_relay_and_later_only_holds_it_up() {
    let refusal = || Error::new(ErrorKind::Connect, "authentication failed").refused();
    let mut rig = Rig::new(Broker::default());
    *rig.broker.errors.lock().unpoisoned() = [Some(refusal())].into();
    rig.read(0..2);
    let error = rig.relay().run(std::future::pending()).await.unwrap_err();
    assert!(matches!(error, RelayError::Broker(_)), "{error}");
    assert_eq!(rig.told(), (vec![], vec![Told::Closed]));

    let mut rig = Rig::new(Broker::default());
    *rig.broker.errors.lock().unpoisoned() = [None, Some(refusal()), Some(refusal())].into();
    rig.options.max_in_flight = 1;
    rig.read(0..2);
    rig.end();
    rig.relay().run(std::future::pending()).await.unwrap();
    assert_eq!(rig.told().0, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_that_fail_are_repeated_in_order() {
    let mut rig = Rig::new(Broker::default());
    rig.source.errors.lock().unpoisoned().extend([lost(), lost()]);
    rig.read(0..3);
    rig.end();
    rig.relay().run(std::future::pending()).await.unwrap();
    assert_eq!(rig.told().0, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_under_way_and_starts_nothing_more() {
    let mut rig = Rig::new(Broker {
        permits: Some(Semaphore::new(0)),
        ..Broker::default()
    });
    rig.options.max_in_flight = 2;
    rig.read(0..4);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let relay = rig.relay();
    let status = relay.status();
    let running = tokio::spawn(relay.run(async { drop(stopped.await) }));
    settle().await;
    stop.send(()).unwrap();
    settle().await;
    assert_eq!(status.check_ready(), Err("stopping".to_owned()));
    rig.broker.permits.as_ref().unwrap().add_permits(9);
    running.await.unwrap().unwrap();
    assert_eq!(rig.told(), (vec![0, 1], vec![Told::Closed]));
    assert_eq!(rig.accepted(), events(0..2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_broker_that_stands_still() {
    let rig = Rig::new(Broker {
        permits: Some(Semaphore::new(0)),
        ..Broker::default()
    });
    rig.read(0..4);
    let stop = tokio::time::sleep(Duration::from_secs(1));
    let begun = tokio::time::Instant::now();
    let error = rig.relay().run(stop).await.unwrap_err();
    assert!(matches!(error, RelayError::Unfinished { num_records: 4 }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_refuses_at_first_ends_the_relay_and_an_outage_does_not() {
    let mut rig = Rig::new(Broker::default());
    let readings = rig.readings.clone().unwrap();
    readings.send(Err(lost())).unwrap();
    rig.read([0]);
    readings.send(Err(lost().refused())).unwrap();
    readings
        .send(Ok(Reading::Gap {
            num_records: 2,
            reason: "trimmed".into(),
        }))
        .unwrap();
    drop(readings);
    rig.end();
    let relay = rig.relay();
    let status = relay.status();
    relay.run(std::future::pending()).await.unwrap();
    assert_eq!(rig.told().0, [0]);
    let numbers = status.numbers();
    assert_eq!((numbers.source_failures, numbers.gaps, numbers.lag), (2, 1, Some(3)));
    let page = status.render();
    assert!(
        page.contains("\nsio_relay_gaps_total 1\n") && page.contains("\nsio_relay_lag 3\n"),
        "{page}"
    );
    assert!(
        page.contains("sio_relay_dead_letters_total{reason=\"unmapped\"} 0"),
        "{page}"
    );

    let rig = Rig::new(Broker::default());
    rig.readings.as_ref().unwrap().send(Err(lost().refused())).unwrap();
    let error = rig.relay().run(std::future::pending()).await.unwrap_err();
    assert!(matches!(error, RelayError::Source(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn bytes_under_way_are_bounded_and_a_single_record_always_passes() {
    let mut rig = Rig::new(Broker {
        permits: Some(Semaphore::new(0)),
        ..Broker::default()
    });
    rig.options.max_in_flight_bytes = 25;
    rig.read(0..6);
    let running = tokio::spawn(rig.relay().run(std::future::pending()));
    settle().await;
    // Each body has ten bytes.
    assert_eq!(rig.broker.started.lock().unpoisoned().len(), 3);
    rig.broker.permits.as_ref().unwrap().add_permits(9);
    rig.end();
    running.await.unwrap().unwrap();
    assert_eq!(rig.told().0.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_and_then_ends_is_an_error_after_all_that_was_read_is_emitted() {
    let mut rig = Rig::new(Broker::default());
    *rig.broker.errors.lock().unpoisoned() = [Some(lost())].into();
    rig.read([0, 1]);
    let readings = rig.readings.take().unwrap();
    readings.send(Err(lost().refused())).unwrap();
    drop(readings);
    let error = rig.relay().run(std::future::pending()).await.unwrap_err();
    assert!(matches!(error, RelayError::Source(_)), "{error}");
    assert_eq!(rig.told(), (vec![0, 1], vec![Told::Closed]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_emits_every_line_that_was_taken_from_its_source() {
    let mut rig = Rig::new(Broker {
        permits: Some(Semaphore::new(0)),
        ..Broker::default()
    });
    rig.options.max_in_flight = 1;
    (1..=5).for_each(|line| rig.read_line(line));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(rig.relay().run(async { drop(stopped.await) }));
    settle().await;
    stop.send(()).unwrap();
    rig.broker.permits.as_ref().unwrap().add_permits(9);
    running.await.unwrap().unwrap();
    rig.end();
    let mut num_left = 0;
    while let Reading::Records(records) = rig.source.next().await.unwrap() {
        num_left += records.len();
    }
    assert_eq!((rig.accepted().len() + num_left, num_left), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_that_are_not_stored_at_the_end_are_an_error() {
    let mut rig = Rig::new(Broker::default());
    let relay = rig.relay();
    let source = rig.source.clone();
    rig.read([0]);
    let stopped = async move {
        settle().await;
        source.errors.lock().unpoisoned().push_back(lost());
    };
    let error = relay.run(stopped).await.unwrap_err();
    assert!(error.to_string().contains("may not be stored: "), "{error}");
    assert_eq!(rig.told(), (vec![0], vec![Told::Closed]));
}
