//! Names of metrics, and their values: each has that of its counter, and of no other.

use std::collections::HashSet;

use socket_io::SocketIo;

use super::*;
use crate::health::Health;

type Set = fn(&mut View, u64);

/// Changes of single counters, and the metrics that show them.
const CHANGES: &[(&str, Set)] = &[
    ("sio_sessions", |view, to| view.server.engine.open_sessions = to),
    ("sio_polling_sessions", |view, to| {
        view.server.engine.polling_sessions = to
    }),
    ("sio_unjoined_connections", |view, to| {
        view.server.num_unjoined = to as usize
    }),
    ("sio_sessions_opened_total", |view, to| view.server.engine.opened = to),
    ("sio_requests_refused_total", |view, to| view.server.engine.refused = to),
    ("sio_handshakes_limited_total", |view, to| {
        view.server.engine.handshakes_limited = to
    }),
    ("sio_handshakes_unavailable_total", |view, to| {
        view.server.engine.handshakes_unavailable = to
    }),
    ("sio_event_pauses_total", |view, to| view.server.event_pauses = to),
    ("sio_unjoined_shed_total", |view, to| view.server.unjoined_shed = to),
    ("sio_messages_received_total", |view, to| {
        view.server.engine.messages_in = to
    }),
    ("sio_messages_sent_total", |view, to| {
        view.server.engine.messages_out = to
    }),
    ("sio_received_bytes_total", |view, to| view.server.engine.bytes_in = to),
    ("sio_sent_bytes_total", |view, to| view.server.engine.bytes_out = to),
    ("sio_outboxes_bytes", |view, to| view.server.engine.queued_bytes = to),
    ("sio_volatile_dropped_total", |view, to| {
        view.server.engine.volatile_dropped = to
    }),
    ("sio_outbox_shed_total", |view, to| view.server.engine.shed = to),
    ("sio_incomplete_messages_bytes", |view, to| {
        view.server.engine.inbound_bytes = to
    }),
    ("sio_incomplete_messages_shed_total", |view, to| {
        view.server.engine.inbound_shed = to
    }),
    ("sio_session_panics_total", |view, to| view.server.engine.panics = to),
    ("sio_clients", |view, to| view.server.num_clients = to as usize),
    ("sio_rooms", |view, to| view.server.num_rooms = to as usize),
    ("sio_dynamic_namespaces", |view, to| {
        view.server.num_dynamic_namespaces = to as usize
    }),
    ("sio_handler_panics_total", |view, to| view.server.handler_panics = to),
    ("sio_handler_failures_total", |view, to| {
        view.server.handler_failures = to
    }),
    ("sio_queued_events_bytes", |view, to| {
        view.server.queued_event_bytes = to as usize
    }),
    ("sio_queued_events_shed_total", |view, to| view.server.queue_shed = to),
    ("sio_admin_events_dropped_total", |view, to| {
        view.server.admin_dropped = to
    }),
    ("sio_peer_servers", |view, to| view.server.hub.servers = to),
    ("sio_channel_messages_total", |view, to| view.server.hub.received = to),
    ("sio_channel_own_messages_total", |view, to| view.server.hub.own = to),
    ("sio_channel_undecodable_total", |view, to| {
        view.server.hub.undecodable = to
    }),
    ("sio_channel_malformed_extensions_total", |view, to| {
        view.server.hub.malformed_extensions = to
    }),
    ("sio_channel_gaps_total", |view, to| view.server.hub.gaps = to),
    ("sio_repeats_dropped_total", |view, to| view.server.hub.repeats = to),
    ("sio_idempotency_keys", |view, to| view.server.hub.idempotency_keys = to),
    ("sio_idempotency_keys_evicted_total", |view, to| {
        view.server.hub.idempotency_keys_evicted = to
    }),
    ("sio_subscribe_failures_total", |view, to| {
        view.server.hub.subscribe_failures = to
    }),
    ("sio_pending_acks", |view, to| view.server.hub.pending_acks = to),
    ("sio_acks_dropped_total", |view, to| view.server.hub.acks_dropped = to),
    ("sio_callbacks_dropped_total", |view, to| {
        view.server.hub.callbacks_dropped = to
    }),
    ("sio_emits_without_acks_total", |view, to| {
        view.server.hub.emits_without_acks = to
    }),
    ("sio_open_requests", |view, to| view.server.hub.open_requests = to),
    ("sio_server_events_dropped_total", |view, to| {
        view.server.hub.server_events_dropped = to
    }),
    ("sio_rooms_refused_total", |view, to| view.server.hub.rooms_refused = to),
    ("sio_delivery_panics_total", |view, to| view.server.hub.panics = to),
    ("sio_hub_restarts_total", |view, to| view.server.hub.restarts = to),
    ("sio_tokens_accepted_total", |view, to| view.tokens.accepted = to),
    ("sio_tokens_refused_total", |view, to| view.tokens.refused = to),
    ("sio_tokens_limited_total", |view, to| view.tokens.limited = to),
    ("sio_tokens_refreshed_total", |view, to| view.tokens.refreshed = to),
    ("sio_tokens_expired_total", |view, to| view.tokens.expired = to),
    ("sio_api_requests_total", |view, to| view.api.requests = to),
    ("sio_api_refused_total", |view, to| view.api.refused = to),
    ("sio_api_unauthorized_total", |view, to| view.api.unauthorized = to),
    ("sio_api_events_total", |view, to| view.api.events = to),
    ("sio_broker_published_total", |view, to| view.manager.num_published = to),
    ("sio_broker_publish_failures_total", |view, to| {
        view.manager.num_publish_failures = to
    }),
    ("sio_broker_unrouted_total", |view, to| view.manager.num_unheard = to),
    ("sio_broker_foreign_total", |view, to| view.manager.num_foreign = to),
    ("sio_broker_received_total", |view, to| view.manager.num_received = to),
    ("sio_broker_refusals_total", |view, to| view.manager.num_refusals = to),
    ("sio_broker_gaps_total", |view, to| view.manager.num_gaps = to),
];

fn page(view: &View) -> String {
    let recorder = meter::builder().build_recorder();
    ::metrics::with_local_recorder(&recorder, || record_view(view));
    recorder.handle().render()
}

#[tokio::test]
async fn each_metric_has_the_value_of_its_counter_and_of_no_other() {
    let mut view = View::of(&Observed::new(&Health::new(SocketIo::new())));
    for (number, (_, set)) in (1..).zip(CHANGES) {
        set(&mut view, number);
    }
    view.is_live = false;
    let page = page(&view);
    for (number, (name, _)) in (1u64..).zip(CHANGES) {
        assert!(
            page.contains(&format!("\n{name} {number}\n")),
            "{name} is not {number}: {page}"
        );
    }
    assert!(
        page.contains("\nsio_live 0\n") && page.contains("\nsio_ready 1\n"),
        "{page}"
    );
    // Flags, histograms, and those with a label are not on the list.
    let single = |metric: &&Metric| metric.label().is_none() && metric.kind() != Kind::Histogram;
    let num_flags = ["sio_ready", "sio_live", "sio_listening"].len();
    assert_eq!(ALL.iter().filter(single).count(), CHANGES.len() + num_flags);
}

#[test]
fn names_are_unique_and_follow_the_conventions_of_prometheus() {
    let names: HashSet<_> = ALL.iter().map(Metric::name).collect();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        let name = metric.name();
        let is_counter = metric.kind() == Kind::Counter;
        assert!(
            name.starts_with("sio_") && name.ends_with("_total") == is_counter,
            "{name}"
        );
        assert!(metric.help().ends_with('.') && !metric.help().contains('|'), "{name}");
    }
}
