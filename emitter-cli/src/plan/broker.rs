//! The broker of a command, its channel, and the wire of its servers.

use std::env::VarError;
use std::time::Duration;

use manager_api::ManagerOptions;
#[cfg(feature = "redis")]
use siokit::node::NodeWire;

use super::url_source;
#[cfg(feature = "redis")]
use super::wire;
use crate::args::{BrokerArgs, DEFAULT_URL, EmitArgs, NamespaceArgs};
use crate::backend::{Backend, BrokerUrl};
use crate::failure::Failure;

/// Names the channel where `--channel` does not.
const CHANNEL_VARIABLE: &str = "SIO_CHANNEL";

/// Which broker, and how to use it.
#[derive(Debug, Clone)]
pub(crate) struct BrokerPlan {
    pub(crate) url: BrokerUrl,
    pub(crate) options: ManagerOptions,
    /// That of Node's servers; `None` for our own.
    #[cfg(feature = "redis")]
    pub(crate) wire: Option<NodeWire>,
    /// Only errors are to be said.
    pub(crate) quiet: bool,
}

impl BrokerPlan {
    /// Makes the manager, which connects on first use.
    pub(crate) fn backend(&self) -> Result<Backend, Failure> {
        let backend = self.url.backend(self.options.clone())?;
        #[cfg(feature = "redis")]
        if let Some(wire) = &self.wire {
            return backend.with_wire(wire);
        }
        Ok(backend)
    }

    /// Returns whether the servers announce themselves, which ours do.
    pub(crate) fn has_announcements(&self) -> bool {
        #[cfg(feature = "redis")]
        let is_node = self.wire.is_some();
        #[cfg(not(feature = "redis"))]
        let is_node = false;
        !is_node
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.options.deadline
    }
}

/// The broker of an event, and the wire of its servers.
pub(super) fn emit_broker_plan(args: &EmitArgs, quiet: bool) -> Result<BrokerPlan, Failure> {
    wired_broker_plan(
        NamespaceArgs {
            namespace: args.namespace.clone(),
            broker: args.broker.clone(),
            #[cfg(feature = "redis")]
            wire: args.wire.clone(),
        },
        quiet,
    )
}

/// The broker of a command, and the wire of its servers.
pub(super) fn wired_broker_plan(args: NamespaceArgs, quiet: bool) -> Result<BrokerPlan, Failure> {
    #[cfg(feature = "redis")]
    let wire = wire::find(args.wire, args.broker.channel.as_deref())?;
    let plan = broker_plan(args.broker, quiet)?;
    #[cfg(feature = "redis")]
    let plan = BrokerPlan { wire, ..plan };
    Ok(plan)
}

pub(super) fn broker_plan(args: BrokerArgs, quiet: bool) -> Result<BrokerPlan, Failure> {
    let url = url_source::find(args.url)?;
    let url = BrokerUrl::parse(url.as_deref().unwrap_or(DEFAULT_URL))?;
    let channel = channel(args.channel)?;
    Ok(BrokerPlan {
        url,
        options: ManagerOptions {
            channel,
            deadline: args.timeout,
            ..ManagerOptions::default()
        },
        #[cfg(feature = "redis")]
        wire: None,
        quiet,
    })
}

/// The option comes first, then the variable. An empty variable is one that is not set.
fn channel(option: Option<String>) -> Result<String, Failure> {
    if let Some(name) = option {
        return match name.is_empty() {
            true => Err(Failure::input("--channel must not be empty")),
            false => Ok(name),
        };
    }
    match std::env::var(CHANNEL_VARIABLE) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Err(VarError::NotUnicode(_)) => Err(Failure::input(format!("{CHANNEL_VARIABLE} is not UTF-8"))),
        _ => Ok(ManagerOptions::default().channel),
    }
}
