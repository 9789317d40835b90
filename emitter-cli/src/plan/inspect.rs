//! What is to be inspected, and in which form it is reported.

use std::time::Duration;

use manager_api::{NamespaceName, Room};

use super::{BrokerPlan, Plan, namespace, wired_broker_plan};
use crate::args::{NamespaceArgs, RoomsArgs, SelectionArgs, ServersArgs, ViewArgs};
use crate::failure::Failure;

/// A report about the servers of the channel, their rooms or their clients.
#[derive(Debug)]
pub(crate) struct InspectPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) subject: Subject,
    pub(crate) json: bool,
    /// The interval of repetitions.
    pub(crate) watch: Option<Duration>,
}

/// The subject of a report.
#[derive(Debug)]
pub(crate) enum Subject {
    Servers,
    /// The rooms whose names start with the prefix.
    Rooms(NamespaceName, String),
    /// The clients in these rooms; all clients if there are none.
    Clients(NamespaceName, Vec<Room>),
    /// The number of these clients.
    Count(NamespaceName, Vec<Room>),
}

impl InspectPlan {
    /// Checks the arguments of `sio servers`.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if the broker, or for the others below the namespace, cannot be used, or the servers do not
    /// respond to that.
    pub(super) fn servers(args: ServersArgs, quiet: bool) -> Result<Plan, Failure> {
        let at = NamespaceArgs {
            namespace: NamespaceName::root().to_string(),
            broker: args.broker,
            #[cfg(feature = "redis")]
            wire: args.wire,
        };
        let broker = wired_broker_plan(at, quiet)?;
        if !broker.has_announcements() {
            return Err(Failure::input(
                "servers of Node do not report about themselves; `sio who` lists their clients, each with its server",
            ));
        }
        Ok(Self::plan(broker, Subject::Servers, &args.view))
    }

    /// Checks the arguments of `sio rooms`.
    pub(super) fn rooms(args: RoomsArgs, quiet: bool) -> Result<Plan, Failure> {
        let namespace = namespace(&args.at.namespace)?;
        let broker = wired_broker_plan(args.at, quiet)?;
        if !broker.has_announcements() {
            return Err(Failure::input(
                "servers of Node do not list their rooms; `sio who --json` lists their clients, each with its rooms",
            ));
        }
        let subject = Subject::Rooms(namespace, args.prefix.unwrap_or_default());
        Ok(Self::plan(broker, subject, &args.view))
    }

    /// Checks the arguments of `sio who`.
    pub(super) fn clients(args: SelectionArgs, quiet: bool) -> Result<Plan, Failure> {
        Self::selection(args, quiet, Subject::Clients)
    }

    /// Checks the arguments of `sio count`.
    pub(super) fn count(args: SelectionArgs, quiet: bool) -> Result<Plan, Failure> {
        Self::selection(args, quiet, Subject::Count)
    }

    fn selection(
        args: SelectionArgs,
        quiet: bool,
        subject: impl FnOnce(NamespaceName, Vec<Room>) -> Subject,
    ) -> Result<Plan, Failure> {
        let namespace = namespace(&args.at.namespace)?;
        let broker = wired_broker_plan(args.at, quiet)?;
        let rooms = args.rooms.iter().map(Room::from).collect();
        Ok(Self::plan(broker, subject(namespace, rooms), &args.view))
    }

    fn plan(broker: BrokerPlan, subject: Subject, view: &ViewArgs) -> Plan {
        Plan::Inspect(Self {
            broker,
            subject,
            json: view.json,
            watch: view.watch.then_some(view.interval),
        })
    }
}
