//! The plan of `relay`, with its feature.

mod file;
mod map;
mod source;

use std::ffi::OsString;

use gateway::config::{LogLevel, Sources};
use gateway::listen::Address as ListenAddress;
use manager_api::ManagerOptions;
use manager_api::source::Record;
use relay::RelayOptions;

use super::BrokerPlan;
use crate::args::{DEFAULT_URL, RelayArgs};
use crate::backend::BrokerUrl;
use crate::failure::Failure;

pub(crate) use map::MapPlan;
pub(crate) use source::SourcePlan;

/// How long the broker may take, where nothing else is said.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// A relay whose input is known to be usable.
#[derive(Debug)]
pub(crate) struct RelayPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) source: SourcePlan,
    pub(crate) map: MapPlan,
    pub(crate) options: RelayOptions,
    pub(crate) admin_listen: Option<ListenAddress>,
    pub(crate) log_level: LogLevel,
    /// A record without a body, of which only the mapping is to be tried.
    pub(crate) check: Option<Record>,
    pub(crate) quiet: bool,
}

impl RelayPlan {
    /// Reads the command line, the environment and the file, and checks all of it.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(mut args: RelayArgs, quiet: bool) -> Result<RelayPlan, Failure> {
        let loaded = common(&args).load().map_err(Failure::input)?;
        let folder = loaded.file.as_deref().and_then(|file| file.parent());
        file::merge(&mut args, &loaded.relay, folder)?;
        let config = loaded.config;
        let url = config.url.as_ref().map_or(DEFAULT_URL, |url| url.expose());
        let broker = BrokerPlan {
            url: BrokerUrl::parse(url)?,
            options: ManagerOptions {
                channel: config.channel,
                deadline: args.timeout.unwrap_or(TIMEOUT),
                ..ManagerOptions::default()
            },
            #[cfg(feature = "redis")]
            wire: None,
            quiet,
        };
        if let Some(address @ ListenAddress::Unix(_)) = &config.admin_listen {
            return Err(Failure::input(format!("--admin-listen: {address} is not HOST:PORT")));
        }
        let mut options = RelayOptions::default();
        options.strict = args.strict;
        options.max_in_flight = args.in_flight.unwrap_or(options.max_in_flight);
        options.drain = args.drain.unwrap_or(options.drain);
        if options.max_in_flight == 0 {
            return Err(Failure::input("--in-flight is a number of records, 1 or more"));
        }
        let map = MapPlan::new(&args.mapping)?;
        Ok(RelayPlan {
            check: args.check.then(|| sample(&args)).transpose()?,
            source: SourcePlan::new(&args)?,
            broker,
            map,
            options,
            admin_listen: config.admin_listen,
            log_level: config.log_level,
            quiet,
        })
    }
}

/// The settings that `relay` has in common with `serve`.
fn common(args: &RelayArgs) -> Sources {
    let flags = [
        ("url", &args.url),
        ("channel", &args.channel),
        ("admin.listen", &args.admin_listen),
    ];
    let given = |(key, value): (&'static str, &Option<String>)| Some((key, vec![value.clone()?]));
    Sources {
        flags: flags.into_iter().filter_map(given).collect(),
        env: std::env::vars_os().filter(|(name, _)| is_common(name)).collect(),
        file: args.config.clone(),
    }
}

/// Returns whether a variable is one that `relay` reads: those of `serve` alone must not stop it.
fn is_common(name: &OsString) -> bool {
    const NAMES: [&str; 6] = [
        "SIO_URL",
        "SIO_URL_FILE",
        "SIO_CHANNEL",
        "SIO_ADMIN_LISTEN",
        "SIO_LOG_LEVEL",
        "SIO_CONFIG",
    ];
    NAMES.iter().any(|each| name == each)
}

/// Makes the record of `--check`, without its body.
fn sample(args: &RelayArgs) -> Result<Record, Failure> {
    let mut record = source::sample(args);
    for header in &args.check_header {
        let (name, value) = header
            .split_once('=')
            .ok_or_else(|| Failure::input("--check-header is NAME=VALUE"))?;
        record.headers.push((name.into(), value.to_owned().into()));
    }
    Ok(record)
}

#[cfg(test)]
mod tests;
