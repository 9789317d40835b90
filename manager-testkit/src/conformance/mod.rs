//! The conformance suite: one async function per sentence of the contract of `ClientManager`, `Topics` and `Replay`. The cases of
//! [`hub`](crate::hub) are built on it.

mod changing;
mod close;
#[cfg(test)]
mod contract;
mod delivery;
mod link;
mod outage;
mod publish;
mod replay;
mod streams;
mod subscribe;
pub(crate) mod support;
mod topics;
mod unanswered;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use manager_api::{ClientManager, ManagerOptions};

pub use changing::*;
pub use close::*;
pub use delivery::*;
pub use link::{Link, OnLink};
pub use outage::*;
pub use publish::*;
pub use replay::*;
pub use streams::*;
pub use subscribe::*;
pub use topics::*;
pub use unanswered::*;

/// A broker under test, which creates managers and can be stopped.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Creates a manager with `options`. It must not connect yet.
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager>;

    /// Kills the broker. Called only if the broker is the test's own.
    async fn stop(&self);

    /// Starts the broker again at the same address and returns once it responds.
    async fn start(&self);

    /// Stops and starts the broker.
    async fn restart(&self) {
        self.stop().await;
        self.start().await;
    }

    /// Returns why a fault is not supported: the cases that need it then show nothing. A backend without the fault and
    /// without a reason fails them. Default: all faults are supported.
    fn lacks(&self, _fault: Fault) -> Option<&'static str> {
        None
    }

    /// Freezes the broker: connections stay open, but it neither reads nor responds. False if that is not supported, of
    /// which [`lacks`](Self::lacks) names the reason. Called only if the broker is the test's own.
    async fn freeze(&self) -> bool;

    /// Resumes a frozen broker.
    async fn thaw(&self);

    /// As [`manager`](Self::manager), over a link that the case may cut. `None` if that is not supported, as by a broker
    /// without a single address; [`lacks`](Self::lacks) names the reason. Called only if the broker is the test's own.
    async fn manager_on_link(&self, options: ManagerOptions) -> Option<OnLink>;

    /// Counts the objects of subscribers of `channel` at the broker: subscriptions, consumers, queues, groups.
    async fn num_consumers(&self, channel: &str) -> usize;

    /// Returns whether messages may be missed when the broker restarts, so that a `Gap` must follow. Default: yes.
    fn restart_loses_messages(&self) -> bool {
        true
    }
}

/// A fault that cases inject, and that not every backend supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`Backend::freeze`].
    StandsStill,
    /// [`Backend::manager_on_link`].
    LosesAnswers,
    /// None, but the [topics](ClientManager::topics) of a manager, which not every broker has.
    Topics,
    /// None, but the [log](ClientManager::replay) of a channel, which not every broker keeps.
    Replay,
    /// None, but what topics may have beside names: sharded ones, patterns, streams, topics that change while a
    /// subscription runs, and counts of subscribers. A manager with [attachments](manager_api::topics::Attachments) has none
    /// of that.
    TopicKinds,
}

/// Runs one case and fails it by name if it hangs. Used by [`conformance!`](crate::conformance!).
///
/// # Panics
///
/// If the case panics or takes longer than ten minutes: on a busy machine a broker takes minutes to start, and some cases
/// start it several times.
pub async fn run(name: &str, case: impl Future<Output = ()>) {
    let done = tokio::time::timeout(Duration::from_secs(600), case).await;
    assert!(done.is_ok(), "{name} did not end within ten minutes");
}

/// Creates a module of tests for one backend, one per case, with those of [`hub`](crate::hub) in a module `hub`.
///
/// `shared` and `private` are expressions of a [`Backend`](crate::Backend), evaluated in each test; they may await. Cases
/// that stop the broker evaluate `private`, all others `shared`. The calling crate needs `tokio` with `macros` and
/// `rt-multi-thread`.
///
/// ```ignore
/// manager_testkit::conformance! {
///     mod redis;
///     shared: Redis::shared().await;
///     private: Redis::private().await;
/// }
/// ```
#[macro_export]
macro_rules! conformance {
    (mod $name:ident; shared: $shared:expr; private: $private:expr $(;)?) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::conformance! { @cases $shared;
                a_message_reaches_every_subscriber_once
                order_per_publisher_is_kept
                bytes_arrive_exactly
                undecodable_bytes_pass
                channels_are_isolated
                a_late_subscriber_sees_nothing_earlier
                own_messages_come_back
                many_publishes_in_flight_keep_order
                bytes_in_flight_are_bounded_and_waiting_publishes_keep_order
                a_message_that_is_too_large_is_refused
                a_cancelled_publish_harms_no_other
                dropping_a_pending_receive_loses_nothing
                dropping_a_subscription_ends_it
                dropping_a_pending_subscribe_leaves_nothing_behind
                a_publisher_only_manager_leaves_nothing_behind
                a_slow_subscriber_is_bounded_and_loses_nothing_silently
                close_flushes_then_ends_the_stream
                after_close_everything_is_closed
                topics_are_isolated
                a_message_to_a_topic_arrives_once_and_in_order
                a_publisher_to_topics_counts_as_no_subscriber
                a_publish_to_a_topic_is_limited_as_any_other
                a_subscription_yields_all_its_topics_and_no_others
                subscribers_of_a_topic_are_counted
                sharded_topics_with_subscribers_are_found
                topics_are_added_and_removed_while_a_subscription_runs
                a_topic_ends_as_it_was_asked_for_last
                entries_keep_their_order_and_their_fields
                a_stream_yields_its_past_then_what_is_new
                a_stream_is_trimmed
                readers_agree_about_order_and_positions
                a_reader_yields_the_past_then_what_is_new
                a_slow_reader_misses_nothing
                a_position_that_is_not_in_the_log_is_a_gap
                a_reader_ends_when_it_is_dropped_or_its_manager_closed
            }
            $crate::conformance! { @cases $private;
                a_broker_restart_yields_a_gap_then_messages
                a_restart_under_load_loses_nothing_silently
                a_publish_while_the_broker_is_down_fails_within_the_deadline
                a_publish_waits_for_the_broker_to_come_back
                a_subscribe_while_the_broker_is_down_fails_within_the_deadline
                a_subscribe_waits_for_the_broker_to_come_back
                close_while_the_broker_is_down_releases_everything
                health_tells_since_when_and_the_last_error
                nothing_is_accepted_while_the_broker_stands_still
                ok_waits_for_the_answer_of_the_broker
                a_publish_whose_answer_was_lost_reaches_subscribers_at_most_once
                ok_of_a_topic_waits_for_the_answer_of_the_broker
                topics_fail_within_the_deadline_while_the_broker_is_down
                a_broker_restart_yields_a_gap_on_topics_then_messages
                a_broker_restart_keeps_the_topics_that_are_wanted_then
                a_stream_continues_after_a_restart
                a_stream_continues_after_a_lost_connection
                a_log_is_read_on_after_a_restart
                a_log_is_read_on_after_a_lost_connection
            }

            mod hub {
                #[allow(unused_imports)]
                use super::*;

                $crate::conformance! { @hub $shared;
                    an_emit_reaches_every_member_once_and_not_the_excluded
                    events_and_commands_of_one_host_keep_their_order
                    own_messages_are_dropped
                    malformed_messages_are_counted_and_the_stream_lives_on
                    clients_and_rooms_are_managed_remotely
                    acks_come_back_to_the_process_that_asked
                    only_the_first_answer_of_an_asked_client_counts
                    a_question_ends_at_its_deadline_and_leaves_nothing
                }
                $crate::conformance! { @hub $private;
                    local_delivery_goes_on_while_the_broker_is_down
                    after_a_restart_the_hosts_hear_each_other_again
                }
            }
        }
    };
    (@cases $backend:expr; $($case:ident)*) => {$(
        $crate::conformance! { @case $backend; $case $crate::conformance::$case }
    )*};
    (@hub $backend:expr; $($case:ident)*) => {$(
        $crate::conformance! { @case $backend; $case $crate::hub::$case }
    )*};
    (@case $backend:expr; $case:ident $path:path) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let backend = $backend;
            $crate::conformance::run(stringify!($case), $path(&backend)).await;
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_the_macro() {
        let sources = [
            include_str!("changing.rs"),
            include_str!("close.rs"),
            include_str!("delivery.rs"),
            include_str!("outage.rs"),
            include_str!("publish.rs"),
            include_str!("replay.rs"),
            include_str!("streams.rs"),
            include_str!("subscribe.rs"),
            include_str!("topics.rs"),
            include_str!("unanswered.rs"),
            include_str!("../hub/acks.rs"),
            include_str!("../hub/messages.rs"),
            include_str!("../hub/outage.rs"),
        ];
        let own = include_str!("mod.rs");
        let listed = |name: &str| own.lines().any(|line| line.trim() == name);
        let cases = sources.iter().flat_map(|source| source.lines());
        let names = cases.filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        let missing: Vec<_> = names.filter(|name| !listed(name)).collect();
        assert!(missing.is_empty(), "never run: {missing:?}");
    }
}
