//! What is to be diagnosed.

use manager_api::doctor::Checks;

use super::{BrokerPlan, broker_plan, namespace};
use crate::args::{BrokerArgs, DoctorArgs};
use crate::failure::Failure;
use crate::output::printable;

/// The parts of the timeout of which a single call of the manager may take one: less than a step of the diagnosis, which is then told
/// why the call failed.
const CALLS: u32 = 4;

/// A diagnosis of the broker and the channel.
#[derive(Debug)]
pub(crate) struct DoctorPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) checks: Checks,
    pub(crate) json: bool,
}

impl DoctorPlan {
    /// Checks what the user typed.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(args: DoctorArgs, quiet: bool) -> Result<Self, Failure> {
        if args.observe > args.timeout / 2 {
            return Err(Failure::input(
                "--observe takes at most half of --timeout: give a longer --timeout",
            ));
        }
        #[cfg(feature = "redis")]
        super::wire::refuse("doctor")?;
        let namespace = namespace(&args.namespace)?;
        let broker = BrokerArgs {
            url: args.url,
            channel: args.channel,
            timeout: args.timeout / CALLS,
        };
        let broker = broker_plan(broker, quiet)?;
        let checks = Checks {
            broker: broker.url.to_string(),
            channel: printable(&broker.options.channel),
            namespace,
            timeout: args.timeout,
            watch: args.observe,
        };
        Ok(Self {
            broker,
            checks,
            json: args.json,
        })
    }
}
