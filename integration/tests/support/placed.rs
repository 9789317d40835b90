//! Reading the log of a channel, with a limit.

use std::time::Duration;

use integration::DEADLINE;
use manager_api::replay::{Placed, Position, Start};
use manager_api::{ClientManager, Incoming, Subscription};

use super::within;

/// What is published from now on.
pub(crate) const NEW: Start = Start::Past(Duration::ZERO);

/// Begins to read the log of a manager.
pub(crate) async fn read(manager: &impl ClientManager, start: Start) -> Subscription<Placed> {
    let replay = manager.replay().expect("it has a log");
    within("the beginning", replay.read_from(start)).await.unwrap().messages
}

/// Receives the next item.
pub(crate) async fn next(messages: &mut Subscription<Placed>) -> Incoming<Placed> {
    let incoming = tokio::time::timeout(2 * DEADLINE, messages.recv()).await;
    incoming.expect("something comes").expect("the reader goes on")
}

/// Receives this message, where a gap would be a failure, and returns its position.
pub(crate) async fn expect_placed(messages: &mut Subscription<Placed>, expected: &str) -> Position {
    match next(messages).await {
        Incoming::Message(Placed { position, message }) => {
            assert_eq!(message, expected.as_bytes());
            position
        }
        unexpected => panic!("expected {expected}, got {unexpected:?}"),
    }
}

/// Receives a gap, and returns its reason.
pub(crate) async fn expect_gap(messages: &mut Subscription<Placed>) -> String {
    match next(messages).await {
        Incoming::Gap { reason } => reason,
        unexpected => panic!("expected a gap, got {unexpected:?}"),
    }
}
