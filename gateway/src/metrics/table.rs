//! Every metric, in one place. `docs/observability.md` holds the same table, and a test compares them.
//!
//! # To add one
//!
//! 1. A row here: a name that ends with its unit (`_seconds`, `_bytes`), counters with `_total`; a sentence; how it is read.
//!    A label has few values, none of them a choice of clients.
//! 2. A change of its counter in `tests`, and what moves it in `integration/tests/observed/metrics.rs`.
//! 3. `UPDATE=1 cargo test -p integration the_table_of_metrics` for the document.
//! 4. If it calls for action: an alert rule, named here, and a line about it in the document.

use engine_io::CloseReason;
use manager_api::measure::Quantity;

use super::bounds::{AGES, OUTBOXES, TIMES};
use super::metric::{Metric, Source};

/// Every metric, by subject: health, connections, clients, the channel, tokens and the HTTP API, the broker, distributions.
pub static ALL: &[Metric] = &[
    // Health.
    Metric::gauge(
        "sio_ready",
        "1 if new clients may be sent to this server, else 0.",
        |view| view.is_ready.into(),
    )
    .alerted("SioNotReady"),
    Metric::gauge(
        "sio_live",
        "1 if the server works as well as after a restart, else 0.",
        |view| view.is_live.into(),
    ),
    // Connections.
    Metric::gauge("sio_sessions", "Engine.IO connections that are open.", |view| {
        view.server.engine.open_sessions
    }),
    Metric::gauge("sio_polling_sessions", "Open connections on long-polling.", |view| {
        view.server.engine.polling_sessions
    }),
    Metric::gauge(
        "sio_unjoined_connections",
        "Connections that have joined no namespace yet.",
        |view| view.server.num_unjoined as u64,
    ),
    Metric::counter("sio_sessions_opened_total", "Connections opened.", |view| {
        view.server.engine.opened
    }),
    Metric::new(
        "sio_sessions_closed_total",
        "Connections closed, by reason.",
        Source::CounterBy("reason", |view| {
            let closed = view.server.engine.closed;
            CloseReason::ALL
                .map(|reason| (reason.as_str(), closed.get(reason)))
                .to_vec()
        }),
    ),
    Metric::counter("sio_requests_refused_total", "HTTP requests refused.", |view| {
        view.server.engine.refused
    }),
    Metric::counter(
        "sio_handshakes_limited_total",
        "Handshakes refused because too many came within a second.",
        |view| view.server.engine.handshakes_limited,
    )
    .alerted("SioHandshakesRefused"),
    Metric::counter(
        "sio_handshakes_unavailable_total",
        "Handshakes refused because the server was full, or drained.",
        |view| view.server.engine.handshakes_unavailable,
    )
    .alerted("SioHandshakesRefused"),
    Metric::counter(
        "sio_unjoined_shed_total",
        "Connections closed because too many had joined no namespace.",
        |view| view.server.unjoined_shed,
    )
    .alerted("SioShedding"),
    Metric::counter(
        "sio_messages_received_total",
        "Messages received from clients.",
        |view| view.server.engine.messages_in,
    ),
    Metric::counter("sio_messages_sent_total", "Packets handed to transports.", |view| {
        view.server.engine.messages_out
    }),
    Metric::counter("sio_received_bytes_total", "Bytes received from clients.", |view| {
        view.server.engine.bytes_in
    }),
    Metric::counter("sio_sent_bytes_total", "Bytes handed to transports.", |view| {
        view.server.engine.bytes_out
    }),
    Metric::gauge(
        "sio_outboxes_bytes",
        "Bytes that wait for clients, in all outboxes.",
        |view| view.server.engine.queued_bytes,
    ),
    Metric::counter(
        "sio_volatile_dropped_total",
        "Volatile packets dropped for slow clients.",
        |view| view.server.engine.volatile_dropped,
    ),
    Metric::counter(
        "sio_outbox_shed_total",
        "Clients disconnected because all outboxes together were over their limit.",
        |view| view.server.engine.shed,
    )
    .alerted("SioShedding"),
    Metric::gauge(
        "sio_incomplete_messages_bytes",
        "Bytes held of incomplete messages of clients.",
        |view| view.server.engine.inbound_bytes,
    ),
    Metric::counter(
        "sio_incomplete_messages_shed_total",
        "Incomplete messages given up because all together were over their limit.",
        |view| view.server.engine.inbound_shed,
    )
    .alerted("SioShedding"),
    Metric::counter("sio_session_panics_total", "Panics caught in connections.", |view| {
        view.server.engine.panics
    })
    .alerted("SioPanics"),
    // Clients and handlers.
    Metric::gauge(
        "sio_clients",
        "Clients that are connected, in all namespaces.",
        |view| view.server.num_clients as u64,
    ),
    Metric::gauge(
        "sio_rooms",
        "Rooms with a member on this server, those of single clients left out.",
        |view| view.server.num_rooms as u64,
    ),
    Metric::gauge(
        "sio_dynamic_namespaces",
        "Namespaces that exist only because they have clients.",
        |view| view.server.num_dynamic_namespaces as u64,
    ),
    Metric::counter(
        "sio_handler_panics_total",
        "Handlers and middleware that panicked.",
        |view| view.server.handler_panics,
    )
    .alerted("SioPanics"),
    Metric::counter(
        "sio_handler_failures_total",
        "Handlers that returned an error.",
        |view| view.server.handler_failures,
    )
    .alerted("SioHandlersFail"),
    Metric::gauge(
        "sio_queued_events_bytes",
        "Bytes of events that wait for handlers.",
        |view| view.server.queued_event_bytes as u64,
    ),
    Metric::counter(
        "sio_event_pauses_total",
        "Pauses of reading from clients that sent too many events.",
        |view| view.server.event_pauses,
    ),
    Metric::counter(
        "sio_queued_events_shed_total",
        "Connections closed because far too many bytes of events waited for handlers.",
        |view| view.server.queue_shed,
    )
    .alerted("SioShedding"),
    Metric::counter(
        "sio_admin_events_dropped_total",
        "Events that administrators were not told of.",
        |view| view.server.admin_dropped,
    ),
    // The channel.
    Metric::gauge(
        "sio_listening",
        "1 while the channel is subscribed to, else 0; 0 without a manager.",
        |view| view.server.hub.is_listening.into(),
    ),
    Metric::gauge("sio_peer_servers", "Other servers known to be running.", |view| {
        view.server.hub.servers
    }),
    Metric::counter(
        "sio_channel_messages_total",
        "Messages received on the channel, own ones included.",
        |view| view.server.hub.received,
    ),
    Metric::counter(
        "sio_channel_own_messages_total",
        "Own messages received back.",
        |view| view.server.hub.own,
    ),
    Metric::counter(
        "sio_channel_undecodable_total",
        "Messages skipped because they could not be decoded.",
        |view| view.server.hub.undecodable,
    )
    .alerted("SioUndecodableMessages"),
    Metric::counter(
        "sio_channel_malformed_extensions_total",
        "Times, traces and idempotency keys of messages that were malformed and ignored.",
        |view| view.server.hub.malformed_extensions,
    ),
    Metric::counter(
        "sio_channel_gaps_total",
        "Times when messages may have been missed.",
        |view| view.server.hub.gaps,
    )
    .alerted("SioMessagesMissed"),
    Metric::counter(
        "sio_repeats_dropped_total",
        "Events not delivered because their idempotency key was seen before.",
        |view| view.server.hub.repeats,
    ),
    Metric::gauge(
        "sio_idempotency_keys",
        "Idempotency keys that are remembered.",
        |view| view.server.hub.idempotency_keys,
    ),
    Metric::counter(
        "sio_idempotency_keys_evicted_total",
        "Idempotency keys forgotten before their time because there were too many.",
        |view| view.server.hub.idempotency_keys_evicted,
    ),
    Metric::counter(
        "sio_subscribe_failures_total",
        "Failed subscriptions to the channel.",
        |view| view.server.hub.subscribe_failures,
    ),
    Metric::gauge(
        "sio_pending_acks",
        "Events that wait for acknowledgements of clients.",
        |view| view.server.hub.pending_acks,
    ),
    Metric::counter(
        "sio_acks_dropped_total",
        "Acknowledgements dropped because too many were unread.",
        |view| view.server.hub.acks_dropped,
    ),
    Metric::counter(
        "sio_callbacks_dropped_total",
        "Acknowledgements and responses for other processes that could not be published.",
        |view| view.server.hub.callbacks_dropped,
    )
    .alerted("SioCallbacksDropped"),
    Metric::counter(
        "sio_emits_without_acks_total",
        "Events delivered without the acknowledgements that they request.",
        |view| view.server.hub.emits_without_acks,
    )
    .alerted("SioCallbacksDropped"),
    Metric::gauge(
        "sio_open_requests",
        "Requests that wait for responses of other servers.",
        |view| view.server.hub.open_requests,
    ),
    Metric::counter(
        "sio_server_events_dropped_total",
        "Events for this server dropped because too many waited.",
        |view| view.server.hub.server_events_dropped,
    ),
    Metric::counter(
        "sio_rooms_refused_total",
        "Rooms that a limit did not allow clients to enter.",
        |view| view.server.hub.rooms_refused,
    ),
    Metric::counter(
        "sio_delivery_panics_total",
        "Messages whose delivery panicked.",
        |view| view.server.hub.panics,
    )
    .alerted("SioPanics"),
    Metric::counter(
        "sio_hub_restarts_total",
        "Parts of the hub that panicked and were started again.",
        |view| view.server.hub.restarts,
    )
    .alerted("SioPanics"),
    // Tokens and the HTTP API, where the server has them.
    Metric::counter(
        "sio_tokens_accepted_total",
        "Clients that connected with a good token.",
        |view| view.tokens.accepted,
    ),
    Metric::counter(
        "sio_tokens_refused_total",
        "Connects and refreshes refused for their token, or for having none.",
        |view| view.tokens.refused,
    )
    .alerted("SioTokensRefused"),
    Metric::counter(
        "sio_tokens_limited_total",
        "Attempts refused unread because too many tokens of their address were refused.",
        |view| view.tokens.limited,
    ),
    Metric::counter("sio_tokens_refreshed_total", "Tokens that clients refreshed.", |view| {
        view.tokens.refreshed
    }),
    Metric::counter(
        "sio_tokens_expired_total",
        "Clients disconnected because their token had expired.",
        |view| view.tokens.expired,
    ),
    Metric::counter("sio_api_requests_total", "Requests to the HTTP API.", |view| {
        view.api.requests
    }),
    Metric::counter(
        "sio_api_refused_total",
        "Requests to the HTTP API that got a problem as their response.",
        |view| view.api.refused,
    ),
    Metric::counter(
        "sio_api_unauthorized_total",
        "Requests to the HTTP API without a good key.",
        |view| view.api.unauthorized,
    )
    .alerted("SioApiUnauthorized"),
    Metric::counter(
        "sio_api_events_total",
        "Events that the HTTP API emitted and the broker accepted.",
        |view| view.api.events,
    ),
    // The broker, as the manager sees it.
    Metric::new(
        "sio_broker_connected",
        "1 while the manager has this connection to its broker, else 0.",
        Source::GaugeBy("direction", |view| {
            vec![
                ("publishing", view.manager.publishing_since.is_some().into()),
                ("listening", view.manager.listening_since.is_some().into()),
            ]
        }),
    ),
    Metric::counter(
        "sio_broker_published_total",
        "Messages that the broker accepted.",
        |view| view.manager.num_published,
    ),
    Metric::counter("sio_broker_publish_failures_total", "Publishes that failed.", |view| {
        view.manager.num_publish_failures
    })
    .alerted("SioPublishFails"),
    Metric::counter(
        "sio_broker_unrouted_total",
        "Messages accepted by RabbitMQ that no queue received.",
        |view| view.manager.num_unheard,
    ),
    Metric::counter(
        "sio_broker_foreign_total",
        "Notifications on PostgreSQL and entries of a stream of Redis that another program sent, which were passed over.",
        |view| view.manager.num_foreign,
    ),
    Metric::counter(
        "sio_broker_received_total",
        "Messages received from the broker.",
        |view| view.manager.num_received,
    ),
    Metric::counter(
        "sio_broker_refusals_total",
        "Attempts to connect that the broker refused.",
        |view| view.manager.num_refusals,
    )
    .alerted("SioBrokerRefuses"),
    Metric::counter(
        "sio_broker_gaps_total",
        "Gaps of the manager's subscriptions.",
        |view| view.manager.num_gaps,
    ),
    // Distributions, of the whole process.
    Metric::new(
        "sio_publish_seconds",
        "Time until the broker accepted an event or a command, or until that failed.",
        Source::Histogram(Quantity::PublishTime, TIMES),
    )
    .alerted("SioPublishSlow"),
    Metric::new(
        "sio_handler_seconds",
        "Time of the handlers of events, middleware included; one of 64 is measured.",
        Source::Histogram(Quantity::HandlerTime, TIMES),
    ),
    Metric::new(
        "sio_fanout_seconds",
        "Time to put an event into the outboxes of its recipients on this server.",
        Source::Histogram(Quantity::FanOutTime, TIMES),
    ),
    Metric::new(
        "sio_message_age_seconds",
        "Time from the publish of an event by another process to the outboxes, by their wall clocks.",
        Source::Histogram(Quantity::MessageAge, AGES),
    )
    .alerted("SioMessagesLate"),
    Metric::new(
        "sio_client_outbox_bytes",
        "Bytes in the outbox of one recipient after an event; one of 64 events is measured.",
        Source::Histogram(Quantity::OutboxBytes, OUTBOXES),
    ),
];
