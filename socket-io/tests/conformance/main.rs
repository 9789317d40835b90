//! The Socket.IO protocol, version 5, at the level of bytes: what each packet does, by long-polling and by WebSocket.
//!
//! Every test runs once on each transport. The transports themselves, their handshakes, heartbeats and upgrades are tested in engine-io.
//!
//! | of the protocol | tests |
//! |---|---|
//! | grammar: types, namespaces, acknowledgement ids, attachments, malformed packets | [`packets`] |
//! | sessions: connecting, refusals, leaving, whom an event reaches | [`sessions`] |
//! | limits | [`limits`] |
//! | packets of the MessagePack parser | [`msgpack`], and `server::msgpack` for what goes well |
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

mod limits;
mod msgpack;
mod packets;
mod peer;
mod sessions;

/// How a peer reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Polling,
    WebSocket,
}

/// Makes of each function two tests.
macro_rules! on_both_transports {
    ($($module:ident::$test:ident,)*) => {
        on_both_transports!(@ by_polling, Polling, [$($module::$test)*]);
        on_both_transports!(@ by_websocket, WebSocket, [$($module::$test)*]);
    };
    (@ $transport:ident, $over:ident, [$($module:ident::$test:ident)*]) => {
        mod $transport {
            $(#[tokio::test]
            async fn $test() {
                crate::$module::$test(crate::Over::$over).await;
            })*
        }
    };
}

on_both_transports! {
    packets::connect_has_its_optional_parts,
    packets::an_event_has_its_optional_parts,
    packets::an_acknowledgement_carries_the_id_as_a_number,
    packets::text_arrives_unchanged,
    packets::names_that_mean_something_to_javascript_are_legal,
    packets::a_number_is_a_name,
    packets::binary_follows_its_packet_in_order,
    packets::binary_answers_come_both_ways,
    packets::packets_of_the_transport_may_stand_between_a_packet_and_its_binary,
    packets::a_packet_between_a_packet_and_its_binary_closes,
    packets::binary_that_belongs_to_nothing_closes,
    packets::malformed_packets_close,
    packets::malformed_authentication_closes,
    packets::reserved_names_close,
    packets::an_event_without_a_payload_does_not_close,
    packets::an_acknowledgement_without_an_id_does_not_close,
    packets::an_answer_to_nothing_is_ignored,
    packets::an_event_without_a_handler_is_ignored,
    packets::text_and_binary_of_emitters_on_several_threads_never_mingle,
    sessions::nothing_happens_before_connect,
    sessions::a_packet_for_a_namespace_that_was_not_joined_closes,
    sessions::a_namespace_that_does_not_exist_is_refused_by_message,
    sessions::authentication_that_is_not_an_object_is_refused_by_message,
    sessions::a_refusal_has_data_only_if_there_is_some,
    sessions::a_refused_client_may_try_again,
    sessions::a_second_connect_closes,
    sessions::a_second_connect_closes_while_the_first_is_not_answered,
    sessions::a_connection_that_joins_nothing_is_closed,
    sessions::leaving_one_namespace_keeps_the_others,
    sessions::leaving_what_was_not_joined_changes_nothing,
    sessions::an_event_for_a_namespace_that_was_left_closes,
    sessions::an_event_for_a_namespace_that_the_server_ended_closes,
    sessions::the_server_ends_a_membership,
    sessions::the_server_ends_the_connection_and_every_membership_first,
    sessions::a_server_that_shuts_down_sends_no_disconnect,
    sessions::every_client_has_a_room_of_its_own,
    sessions::rooms_are_a_union_without_whom_they_except,
    sessions::the_server_cannot_emit_reserved_names,
    sessions::answers_of_many_are_collected_until_the_deadline,
    sessions::ids_are_20_characters_and_differ_by_namespace,
    limits::eleven_attachments_close_and_ten_do_not,
    limits::attachments_are_limited_in_bytes,
    limits::half_a_packet_is_not_kept_for_ever,
    limits::a_placeholder_must_have_its_attachment,
    limits::a_call_is_not_answered_with_an_attachment_that_did_not_come,
    limits::an_id_beyond_64_bits_closes,
    limits::a_message_over_the_limit_is_not_handled,
    limits::deep_json_harms_no_other,
    msgpack::refusals_and_disconnects_are_messagepack_too,
    msgpack::malformed_messagepack_closes,
    msgpack::authentication_in_messagepack_that_is_not_a_map_is_refused_by_message,
    msgpack::leaving_in_messagepack_keeps_the_other_namespaces,
    msgpack::what_clients_of_messagepack_add_is_ignored,
    msgpack::attachments_in_messagepack_are_limited_as_with_json,
}
