//! Keys of events, which Node's adapters do not know.

use manager_api::ErrorKind;

use super::support::{emitter, next};
use crate::NodeWire;

#[tokio::test]
async fn an_event_with_a_key_is_refused_and_nothing_is_sent() {
    for wire in [
        NodeWire::classic(),
        NodeWire::sharded(),
        NodeWire::streams(),
        NodeWire::streams_before_0_3(),
    ] {
        let (emitter, _broker, mut sent) = emitter(&wire, 1);
        let refused = emitter.to("r").idempotency_key("k").emit("e", &()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Config, false));
        let text = refused.to_string();
        assert!(text.contains("cannot carry an idempotency key"), "{text}");
        emitter.to("r").emit("e", &()).await.unwrap();
        next(&mut sent).await;
        assert!(sent.try_recv().is_err(), "only the second was sent");
    }
}
