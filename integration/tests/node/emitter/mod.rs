//! An emitter of ours into fleets of Node.js servers, with each adapter: every feature on every wire.

mod changes;
mod clients;
mod events;
mod redis_cluster;
mod requests;
mod servers;
mod visitors;

/// Makes of each case, which takes a fleet, one test for each wire.
macro_rules! on_every_wire {
    ($($case:ident),* $(,)?) => {
        $crate::node::emitter::on_every_wire! {
            @on [$($case)*]
            Classic as classic,
            ClassicSpecific as classic_specific,
            Sharded as sharded,
            Streams as streams,
            StreamsSharded as streams_sharded,
            StreamsTwo as streams_two,
            StreamsOld as streams_old,
            Postgres as postgres,
        }
    };
    (@on $cases:tt $($wire:ident as $module:ident,)*) => {
        $($crate::node::emitter::on_every_wire! { @wire $wire $module $cases })*
    };
    (@wire $wire:ident $module:ident [$($case:ident)*]) => {
        mod $module {
            use crate::node::fleet::{Fleet, Wire};

            $(#[tokio::test]
            async fn $case() {
                super::$case(Fleet::start(Wire::$wire).await).await;
            })*
        }
    };
}
use on_every_wire;
