//! The map from sentences of the contract to cases.

/// Each bullet in the documentation of `ClientManager`, in its order, and the cases that show it.
const CONTRACT: &[(&str, &[&str])] = &[
    (
        "At most once: a message reaches every subscriber at most once, and is never replayed by the manager.",
        &[
            "a_message_reaches_every_subscriber_once",
            "a_publish_whose_answer_was_lost_reaches_subscribers_at_most_once",
        ],
    ),
    (
        "Messages of one publisher reach a subscriber in the order in which they were published.",
        &["order_per_publisher_is_kept"],
    ),
    (
        "A manager's own subscription receives its own messages too; the hub drops them by their origin.",
        &["own_messages_come_back", "own_messages_are_dropped"],
    ),
    (
        "A late subscriber receives nothing earlier.",
        &["a_late_subscriber_sees_nothing_earlier"],
    ),
    ("Channels are isolated from each other.", &["channels_are_isolated"]),
    (
        "`Ok` means accepted: Redis replied, AMQP confirmed, Kafka reported delivery to all in-sync replicas, PostgreSQL committed.",
        &[
            "ok_waits_for_the_answer_of_the_broker",
            "nothing_is_accepted_while_the_broker_stands_still",
        ],
    ),
    (
        "Many publishes may be in flight; they keep the order in which their futures were first polled.",
        &["many_publishes_in_flight_keep_order"],
    ),
    (
        "Never blocks for ever: bytes in flight are bounded, beyond that it waits; after the configured deadline it fails.",
        &[
            "bytes_in_flight_are_bounded_and_waiting_publishes_keep_order",
            "a_publish_while_the_broker_is_down_fails_within_the_deadline",
        ],
    ),
    (
        "While the broker is down it waits for the connection to be re-established, up to the deadline.",
        &["a_publish_waits_for_the_broker_to_come_back"],
    ),
    (
        "Bytes of any content arrive unchanged.",
        &["bytes_arrive_exactly", "undecodable_bytes_pass"],
    ),
    (
        "Yields messages in broker order, and [`Incoming::Gap`](crate::Incoming::Gap) whenever messages may have been missed.",
        &[
            "a_broker_restart_yields_a_gap_then_messages",
            "a_restart_under_load_loses_nothing_silently",
            "a_slow_subscriber_is_bounded_and_loses_nothing_silently",
        ],
    ),
    (
        "Reconnects by itself, for ever, with [`Backoff`](crate::Backoff), resubscribes, and never stops receiving without a gap.",
        &[
            "a_broker_restart_yields_a_gap_then_messages",
            "health_tells_since_when_and_the_last_error",
        ],
    ),
    (
        "Dropping a pending receive loses nothing.",
        &["dropping_a_pending_receive_loses_nothing"],
    ),
    (
        "Earlier publishes are accepted or fail; none is left without a result.",
        &[
            "close_flushes_then_ends_the_stream",
            "close_while_the_broker_is_down_releases_everything",
        ],
    ),
    (
        "Subscriptions end; a publish afterwards is [`Closed`](crate::ErrorKind::Closed). Closing twice is harmless.",
        &["close_flushes_then_ends_the_stream", "after_close_everything_is_closed"],
    ),
];

/// Each bullet in the documentation of `Topics`, in its order, and the cases that show it.
const TOPICS: &[(&str, &[&str])] = &[
    (
        "Topics are isolated from each other, and from the manager's channel.",
        &["topics_are_isolated"],
    ),
    (
        "At most once, and in the order of publishing for each publisher and topic.",
        &["a_message_to_a_topic_arrives_once_and_in_order"],
    ),
    (
        "A manager that has subscribed to no topic, and one whose subscriptions were dropped, leaves no consumer on the broker, and counts as a subscriber of none.",
        &[
            "a_publisher_to_topics_counts_as_no_subscriber",
            "subscribers_of_a_topic_are_counted",
        ],
    ),
    (
        "A publish to a topic has the guarantees of [`ClientManager::publish`](crate::ClientManager::publish): `Ok` means accepted, bytes in flight are bounded, and it ends at the deadline.",
        &[
            "ok_of_a_topic_waits_for_the_answer_of_the_broker",
            "a_publish_to_a_topic_is_limited_as_any_other",
            "topics_fail_within_the_deadline_while_the_broker_is_down",
        ],
    ),
    (
        "Entries of one publisher keep their order, and arrive with their fields unchanged.",
        &[
            "entries_keep_their_order_and_their_fields",
            "a_stream_yields_its_past_then_what_is_new",
            "a_stream_is_trimmed",
        ],
    ),
    (
        "A subscription yields the messages of all its topics, each with the name of its topic, and no others.",
        &["a_subscription_yields_all_its_topics_and_no_others"],
    ),
    (
        "A subscription to topics has the guarantees of [`ClientManager::subscribe`](crate::ClientManager::subscribe): it reconnects by itself, and yields a gap whenever messages may have been missed.",
        &[
            "a_broker_restart_yields_a_gap_on_topics_then_messages",
            "a_stream_continues_after_a_restart",
            "a_stream_continues_after_a_lost_connection",
            "topics_fail_within_the_deadline_while_the_broker_is_down",
        ],
    ),
    (
        "A topic that is added is received from its confirmation on, counts as any other, and a removed one ends: on the same subscription, without a gap.",
        &["topics_are_added_and_removed_while_a_subscription_runs"],
    ),
    (
        "However fast a topic is added and removed, it ends as it was asked for last; so does the number of topics that the broker knows.",
        &["a_topic_ends_as_it_was_asked_for_last"],
    ),
    (
        "After a lost connection the subscription has the topics that are wanted then.",
        &["a_broker_restart_keeps_the_topics_that_are_wanted_then"],
    ),
    (
        "A subscription counts once it is established, and no longer than until it is dropped or its process ends.",
        &["subscribers_of_a_topic_are_counted"],
    ),
    (
        "A sharded topic is found as long as it [counts](Self::count_subscribers) subscribers.",
        &["sharded_topics_with_subscribers_are_found"],
    ),
];

/// Each bullet in the documentation of `Replay`, in its order, and the cases that show it.
const REPLAY: &[(&str, &[&str])] = &[
    (
        "Every reader receives the same messages in the same order, each with the same position, and positions increase.",
        &["readers_agree_about_order_and_positions"],
    ),
    (
        "Yields the messages behind the start, then new ones: between the two nothing is missing, and nothing comes twice.",
        &["a_reader_yields_the_past_then_what_is_new"],
    ),
    (
        "A reader that is slower than the publishers, or begins far in the past, misses nothing that the broker keeps.",
        &["a_slow_reader_misses_nothing"],
    ),
    (
        "A position that the log does not have any more, or never had, is a gap, and then all that the log still has behind it.",
        &["a_position_that_is_not_in_the_log_is_a_gap"],
    ),
    (
        "After a lost connection or a restart of the broker it continues with the next message, without a gap if the broker has kept the log.",
        &[
            "a_log_is_read_on_after_a_restart",
            "a_log_is_read_on_after_a_lost_connection",
        ],
    ),
    (
        "A reader that was dropped leaves no consumer on the broker.",
        &["a_reader_ends_when_it_is_dropped_or_its_manager_closed"],
    ),
];

/// The bullets in the documentation of a trait, each in one line. It ends before the type named `end`.
fn bullets(source: &str, end: &str) -> Vec<String> {
    let contract = source.split(&format!("pub struct {end} ")).next().unwrap_or_default();
    let mut bullets: Vec<String> = Vec::new();
    let mut is_in_one = false;
    for line in contract.lines() {
        let text = line.trim_start().strip_prefix("///").map(str::trim).unwrap_or_default();
        if let Some(first) = text.strip_prefix("- ") {
            bullets.push(first.to_owned());
            is_in_one = true;
        } else if is_in_one && !text.is_empty() {
            let bullet = bullets.last_mut().expect("it was just begun");
            bullet.push(' ');
            bullet.push_str(text);
        } else {
            is_in_one = false;
        }
    }
    bullets
}

#[test]
fn every_sentence_of_the_contract_has_cases() {
    let manager = bullets(include_str!("../../../manager-api/src/manager.rs"), "Health");
    let topics = bullets(include_str!("../../../manager-api/src/topics.rs"), "Topic");
    let replay = bullets(include_str!("../../../manager-api/src/replay.rs"), "Replayed");
    for (name, written, contract) in [
        ("ClientManager", manager, CONTRACT),
        ("Topics", topics, TOPICS),
        ("Replay", replay, REPLAY),
    ] {
        let shown: Vec<_> = contract.iter().map(|(bullet, _)| *bullet).collect();
        assert_eq!(
            written, shown,
            "a bullet of `{name}` has no cases here, or another wording"
        );
    }
    let run = include_str!("mod.rs");
    for (bullet, cases) in CONTRACT.iter().chain(TOPICS).chain(REPLAY) {
        assert!(!cases.is_empty(), "nothing shows {bullet}");
        for case in *cases {
            assert!(run.lines().any(|line| line.trim() == *case), "{case} is not run");
        }
    }
}

#[test]
fn a_bullet_without_a_case_is_noticed() {
    let source =
        "/// - One.\n///\n    /// - Two goes\n    ///   on.\n    /// - Three.\npub struct Health {\n/// - no bullet";
    assert_eq!(bullets(source, "Health"), ["One.", "Two goes on.", "Three."]);
}
