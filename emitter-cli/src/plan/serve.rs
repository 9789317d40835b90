//! The plans of `serve` and `demo`, with the feature `serve`.

use std::num::NonZeroU64;

use manager_api::{ManagerOptions, NamespaceName};

use super::{channel, namespace, url_source};
use crate::args::{ListenAddr, ServeArgs};
use crate::backend::BrokerUrl;
use crate::failure::Failure;

#[derive(Debug)]
pub(crate) struct ServePlan {
    pub(crate) listen: ListenAddr,
    /// `None` starts the embedded broker.
    pub(crate) url: Option<BrokerUrl>,
    pub(crate) options: ManagerOptions,
    /// Beside `/`.
    pub(crate) namespaces: Vec<NamespaceName>,
    /// Beside the server's own.
    pub(crate) origins: Vec<String>,
    pub(crate) quiet: bool,
}

#[derive(Debug)]
pub(crate) struct DemoPlan {
    pub(crate) count: Option<NonZeroU64>,
}

impl ServePlan {
    /// Checks what the user typed.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(args: ServeArgs, quiet: bool) -> Result<ServePlan, Failure> {
        let url = url_source::find(args.url)?;
        let url = url.as_deref().map(BrokerUrl::parse).transpose()?;
        let options = ManagerOptions {
            channel: channel(args.channel)?,
            ..ManagerOptions::default()
        };
        Ok(ServePlan {
            listen: args.listen,
            url,
            options,
            namespaces: args
                .namespace
                .iter()
                .map(|name| namespace(name))
                .collect::<Result<_, _>>()?,
            origins: origins(args.origin)?,
            quiet,
        })
    }
}

/// Origins as browsers send them, or `*`.
fn origins(origins: Vec<String>) -> Result<Vec<String>, Failure> {
    let named: Vec<String> = origins.iter().filter(|origin| *origin != "*").cloned().collect();
    let config = socket_io::engine_io::Config {
        cors_allowed_origins: named.into(),
        ..Default::default()
    };
    let checked = config.validate();
    checked.map_err(|error| Failure::input(format!("--origin cannot be used: {error}")))?;
    Ok(origins)
}
