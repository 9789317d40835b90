//! The server over real sockets, packet by packet.
//!
//! # Defects of others, and the tests that show ours has none of them
//!
//! socketioxide 0.18.5, by number:
//!
//! | defect | test |
//! |---|---|
//! | D1: a member of two rooms gets two copies | `events::an_event_for_a_room_reaches_its_members_once_and_not_its_sender` |
//! | D2: answers that never came stay in memory | `acks::a_call_ends_at_its_deadline_or_when_the_client_leaves` |
//! | D3: a second CONNECT replaces the client | `defects::a_second_connect_neither_replaces_the_client_nor_swallows_its_disconnect_handler` |
//! | D4: a disconnect handler that panics or cannot be called leaks | `lifecycle::a_panicking_disconnect_handler_leaks_neither_client_nor_room`, `defects::a_disconnect_handler_that_cannot_be_called_leaks_neither_client_nor_room` |
//! | D5: a stalled reader outlives its heartbeat | engine-io: `heartbeat::a_stalled_reader_does_not_keep_its_session` |
//! | D6: events right behind CONNECT are lost | `events::an_event_sent_right_behind_connect_is_not_lost` |
//! | D7: events of one client out of order | `events::events_of_a_client_are_handled_in_order_even_if_the_first_takes_longer` |
//! | D8: WebSockets know no limit of size | `defects::one_limit_of_size_holds_for_both_transports` |
//! | D9: one setting discards another | `defects::what_is_configured_stays_whatever_is_configured_after_it` |
//! | D10: first joins of a dynamic namespace at once make two | `wildcards::clients_that_join_a_dynamic_namespace_at_once_are_all_in_the_same` |
//! | D11: the public id opens the transport | `defects::the_public_id_of_a_client_is_no_key_to_its_connection` |
//! | D12: an unasked pong closes the connection | `defects::a_pong_that_nobody_asked_for_harms_nothing` |
//! | D13: another path with the same beginning is taken | `hosting::it_is_a_layer_of_an_axum_application` |
//! | D14: the first ping comes at once | engine-io: `heartbeat::a_websocket_is_pinged_after_the_interval` |
//! | D15: nobody learns which client missed an event | `defects::a_client_that_misses_an_event_is_named_by_its_own_end` |
//! | dynamic namespaces are never freed | `wildcards::a_dynamic_namespace_is_freed_with_its_last_client` |
//!
//! python-socketio 5.16, as far as the server is concerned:
//!
//! | defect | test |
//! |---|---|
//! | a connect handler that fails lets the client in | `defects::a_client_whose_connect_handler_failed_gets_and_does_nothing` |
//! | clients run lifecycle handlers by events of their names | `events::a_client_cannot_run_lifecycle_handlers_by_emitting_their_names` |
//! | callbacks leak, and only one of a room answers | `acks::a_call_ends_at_its_deadline_or_when_the_client_leaves`, `acks::answers_of_a_room_are_collected_and_forged_ones_ignored` |
//! | buffers of clients grow without bound | `defects::a_client_that_misses_an_event_is_named_by_its_own_end` |
//! | more than 16 packets in a request are dropped | `defects::many_packets_in_one_request_are_all_handled` |
//! | the address of the client is always 127.0.0.1 | `request::connect_handlers_take_headers_query_and_address_by_type` |
//! | which namespaces are accepted is not written down | `wildcards::the_connect_handler_of_every_namespace_decides_where_there_is_no_other`, `connect::an_unknown_namespace_is_refused_as_node_does_and_the_connection_stays` |
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

mod acks;
#[cfg(feature = "admin")]
mod admin;
mod client;
mod connect;
mod defects;
mod emits;
mod events;
mod hosting;
mod kicks;
mod lifecycle;
mod middleware;
mod msgpack;
mod request;
mod sessions;
#[cfg(feature = "static-files")]
mod static_files;
mod types;
mod wildcards;
