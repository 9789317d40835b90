//! The bridge: how it is made, and how it runs.

use std::sync::Arc;
use std::time::Duration;

use manager_api::log::{Escaped, quietly};
use manager_api::message::Message;
use manager_api::{ClientManager, Error, ErrorKind};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::shared::{Shared, defect};
use crate::side::{SideState, of_side};
use crate::status::Status;
use crate::{BridgeOptions, Side, control, forward, receive, survey};

/// Joins two or more fleets: see the [crate](crate).
///
/// Cloning is cheap; clones are the same bridge.
#[derive(Clone)]
pub struct Bridge {
    shared: Arc<Shared>,
    control: Option<Arc<dyn ClientManager>>,
}

/// The parts of a [`Bridge`].
#[derive(Default)]
pub struct BridgeBuilder {
    name: Option<String>,
    sides: Vec<Side>,
    control: Option<Arc<dyn ClientManager>>,
    options: BridgeOptions,
}

impl BridgeBuilder {
    /// Sets the name. Bridges of one name, with the same sides, stand in for each other. Default `bridge`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a side. The bridges of one name have sides of the same names.
    #[must_use]
    pub fn side(mut self, side: Side) -> Self {
        self.sides.push(side);
        self
    }

    /// Sets the channel on which the bridges of this name find out which of them forwards. It is of their own; nothing
    /// else is sent there. Without one, this bridge is the only one, and forwards from the start.
    #[must_use]
    pub fn control(mut self, manager: impl ClientManager) -> Self {
        self.control = Some(Arc::new(manager));
        self
    }

    /// Sets limits and times.
    #[must_use]
    pub fn options(mut self, options: BridgeOptions) -> Self {
        self.options = options;
        self
    }

    /// Makes the bridge. Nothing is connected before it runs.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if there are fewer than two sides, two of the same name, times that cannot be used
    /// together, or a wire whose manager lacks what it needs.
    pub fn build(self) -> Result<Bridge, Error> {
        let refuse = |text: String| Err(Error::new(ErrorKind::Config, text));
        if self.sides.len() < 2 {
            return refuse(format!("a bridge has two sides or more, not {}", self.sides.len()));
        }
        for (at, side) in self.sides.iter().enumerate() {
            if self.sides[..at].iter().any(|other| other.name == side.name) {
                return refuse(format!("two sides have the name {:?}", side.name));
            }
        }
        let options = &self.options;
        if options.beat.is_zero() || options.lease <= options.beat || options.takeover <= options.lease {
            return refuse("the times of a bridge grow: beat, lease, takeover".to_owned());
        }
        let sides: Result<Vec<_>, _> = self.sides.into_iter().map(|side| side.open(options)).collect();
        let name = self.name.unwrap_or_else(|| "bridge".to_owned());
        Ok(Bridge {
            shared: Arc::new(Shared::new(name, self.options, sides?)),
            control: self.control,
        })
    }
}

impl Bridge {
    /// Begins to make a bridge.
    pub fn builder() -> BridgeBuilder {
        BridgeBuilder::default()
    }

    /// Runs the bridge until `stop` completes, then hands over to another bridge or forwards what waits, says bye to the
    /// servers of each side, and closes the managers. To be called once.
    ///
    /// # Behaviour
    ///
    /// Brokers that cannot be reached are tried again for ever.
    ///
    /// With a [control channel](BridgeBuilder::control) it forwards after it has listened for others, about 5 s later by
    /// default, also if it is the only one; without, from the start.
    ///
    /// # Errors
    ///
    /// If a broker refuses the first subscription, two sides are the same fleet, the managers cannot be flushed, or a task
    /// of the bridge ends before its time, by a defect. [`Config`](ErrorKind::Config) if a bridge of the same name with other
    /// sides is found at the start.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the bridge at once; what was not forwarded is left to another one.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let shared = &self.shared;
        self.announce();
        let mut tasks = JoinSet::new();
        for side in 0..shared.sides.len() {
            tasks.spawn(receive::listen(shared.clone(), side));
            tasks.spawn(receive::confirm_presence(shared.clone(), side));
            tasks.spawn(survey::survey(shared.clone(), side));
            let responding = shared.clone();
            tasks.spawn(async move { responding.sides[side].publish_responses().await });
        }
        for pair in 0..shared.pairs.len() {
            tasks.spawn(forward::forward(shared.clone(), pair));
        }
        let (leave, leaving) = watch::channel(false);
        // A set, because it is to end with this future.
        let mut control = JoinSet::new();
        control.spawn(control::run(shared.clone(), self.control.clone(), leaving));
        let mut fatal = shared.fatal.subscribe();
        tokio::select! {
            () = stop => {}
            // The sender lives in `shared`.
            _ = fatal.wait_for(Option::is_some) => {}
            // None of them completes before the bridge closes, and without it the others go on for nothing.
            Some(ended) = tasks.join_next() => shared.fail(end_of_task(ended)),
            Some(ended) = control.join_next() => shared.fail(end_of_task(ended)),
        }
        leave.send_replace(true);
        let patience = shared.options.flush + shared.options.takeover;
        if let Ok(Some(Err(_))) = timeout(patience, control.join_next()).await {
            shared.fail(defect());
        }
        let closed = self.close().await;
        while let Some(ended) = tasks.try_join_next() {
            if ended.is_err() {
                shared.fail(defect());
            }
        }
        tasks.shutdown().await;
        let fatal = shared.fatal.borrow().clone();
        match fatal {
            Some(error) => Err(Error::new(error.kind(), error.to_string()).refused_if(error.is_refusal())),
            None => closed,
        }
    }

    /// Says bye to the servers of each side, which goes on to respond meanwhile, and closes the managers.
    async fn close(&self) -> Result<(), Error> {
        let close = |side: usize| async move {
            let state: &SideState = &self.shared.sides[side];
            if state.messenger.is_known(state.is_connected()) && state.is_connected() {
                // If it is lost, the next request of the others waits for its timeout, once.
                let _ = timeout(state.messenger.bye_patience(), state.messenger.publish(Message::Bye)).await;
            }
            let closed = state.manager().close().await;
            closed.map_err(|error| of_side(&state.name, &error))
        };
        let closed = futures_util::future::join_all((0..self.shared.sides.len()).map(close)).await;
        if let Some(control) = &self.control {
            // A beat that was not sent is of no use any more.
            let _ = timeout(Duration::from_secs(1), control.close()).await;
        }
        closed.into_iter().collect()
    }

    fn announce(&self) {
        let bridge = Escaped(&self.shared.name);
        for side in &self.shared.sides {
            let (side, namespaces) = (Escaped(&side.name), Escaped(side.shown_namespaces()));
            quietly(|| tracing::info!(%bridge, %side, %namespaces, "a side of the bridge"));
        }
    }

    /// Looks at the brokers of the sides for events that the bridge would not receive, without joining the fleets. Returns
    /// for each side its name and what is wrong there, or `None`.
    ///
    /// # Errors
    ///
    /// For each side: [`Connect`](ErrorKind::Connect) or [`Timeout`](ErrorKind::Timeout) if its broker cannot be reached
    /// within the manager's deadline; a [refusal](Error::is_refusal) if the login lacks the right.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn find_unheard(&self) -> Vec<(String, Result<Option<String>, Error>)> {
        let looks = self.shared.sides.iter().map(async |state| {
            let found = state.messenger.find_unheard().await;
            (state.name.clone(), found)
        });
        futures_util::future::join_all(looks).await
    }

    /// Returns what the bridge does at this moment, and its counters.
    pub fn status(&self) -> Status {
        Status::of(&self.shared, self.control.is_some())
    }
}

/// Returns the error of a bridge of which a task has ended. One that ends because of an error has told that before.
fn end_of_task(ended: Result<(), JoinError>) -> Error {
    match ended {
        Ok(()) => Error::new(
            ErrorKind::Closed,
            "the manager of a side was closed while the bridge ran",
        ),
        Err(_) => defect(),
    }
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge")
            .field("name", &self.shared.name)
            .field("id", &self.shared.id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BridgeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BridgeBuilder")
            .field("name", &self.name)
            .field("sides", &self.sides)
            .finish_non_exhaustive()
    }
}
