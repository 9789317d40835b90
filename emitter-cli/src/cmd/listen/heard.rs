//! What is listened to: the channel from now on, or its log from a time in the past on.

use std::time::Duration;

use manager_api::replay::{Placed, Start};
use manager_api::{ClientManager, Error, ErrorKind, Incoming, Subscription};

/// A subscription to the channel.
pub(super) enum Heard {
    Channel(Subscription),
    Log(Subscription<Placed>),
}

impl Heard {
    /// Subscribes; with `since` to what was published in that time, too.
    pub(super) async fn subscribe(manager: &dyn ClientManager, since: Option<Duration>) -> Result<Self, Error> {
        let Some(since) = since else {
            return manager.subscribe().await.map(Self::Channel);
        };
        let Some(replay) = manager.replay() else {
            let text =
                "--since needs a broker that keeps messages, and this one keeps none: a URL of redis+stream:// does";
            return Err(Error::new(ErrorKind::Config, text));
        };
        let replayed = replay.read_from(Start::Past(since)).await?;
        Ok(Self::Log(replayed.messages))
    }

    /// Receives the next item; `None` once the subscription has ended.
    pub(super) async fn recv(&mut self) -> Option<Incoming> {
        match self {
            Self::Channel(channel) => channel.recv().await,
            Self::Log(log) => log.recv().await.and_then(without_position),
        }
    }

    /// Receives an item that is there already.
    pub(super) fn try_recv(&mut self) -> Option<Incoming> {
        match self {
            Self::Channel(channel) => channel.try_recv(),
            Self::Log(log) => log.try_recv().and_then(without_position),
        }
    }
}

fn without_position(incoming: Incoming<Placed>) -> Option<Incoming> {
    match incoming {
        Incoming::Message(placed) => Some(Incoming::Message(placed.message)),
        Incoming::Gap { reason } => Some(Incoming::Gap { reason }),
        _ => None,
    }
}
