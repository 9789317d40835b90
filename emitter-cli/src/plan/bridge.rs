//! The plan of `bridge`, with the feature of the same name.

mod fields;
mod file;

use std::time::Duration;

use bridge::BridgeOptions;
use clap::ValueEnum;
use gateway::listen::Address;
use manager_api::{ManagerOptions, deadline};
use siokit::node::NodeWire;

use super::wire;
use crate::args::{BridgeArgs, WireArgs, WireName};
use crate::backend::BrokerUrl;
use crate::failure::Failure;
use crate::output::printable;
use fields::Fields;

/// The name of bridges that are not given one.
const DEFAULT_NAME: &str = "bridge";
/// How long a publish of a bridge may take. Another bridge takes over only after that.
const PUBLISH: Duration = Duration::from_secs(2);
/// The longest wait before a broker is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What to join.
#[derive(Debug)]
pub(crate) struct BridgePlan {
    pub(crate) name: String,
    pub(crate) sides: Vec<SidePlan>,
    /// The channel of the bridges themselves; `None` for a bridge that is the only one.
    pub(crate) control: Option<(BrokerUrl, ManagerOptions)>,
    pub(crate) options: BridgeOptions,
    pub(crate) admin_listen: Option<Address>,
    /// Nothing is to be done but to say what would be.
    pub(crate) check: bool,
    pub(crate) quiet: bool,
}

/// One side.
#[derive(Debug)]
pub(crate) struct SidePlan {
    pub(crate) name: String,
    pub(crate) url: BrokerUrl,
    pub(crate) options: ManagerOptions,
    /// That of Node's servers; `None` for our own and python-socketio's.
    pub(crate) wire: Option<(WireName, NodeWire)>,
    /// Empty for the default.
    pub(crate) namespaces: Vec<String>,
    pub(crate) silent_servers: bool,
}

/// The settings of a file, or of flags.
struct Settings {
    top: Fields,
    control: Fields,
    limits: Fields,
    times: Fields,
    sides: Vec<Fields>,
}

impl BridgePlan {
    /// Reads the settings and checks them.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(args: BridgeArgs, quiet: bool) -> Result<BridgePlan, Failure> {
        let settings = match &args.config {
            Some(path) => file::read(path)?,
            None => of_flags(&args.side)?,
        };
        let Settings {
            mut top,
            control,
            limits,
            times,
            sides,
        } = settings;
        let name = args
            .name
            .or(top.text("name")?)
            .unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let listen = top.parsed("admin_listen", |text| text.parse::<Address>())?;
        top.finish()?;
        let admin_listen = args.admin_listen.or(listen);
        if matches!(admin_listen, Some(Address::Unix(_))) {
            return Err(Failure::input(
                "admin_listen: expected HOST:PORT, or a port of 127.0.0.1",
            ));
        }
        let mut options = BridgeOptions::default();
        read_limits(limits, &mut options)?;
        let publish = read_times(times, &mut options)?;
        let sides: Vec<_> = sides
            .into_iter()
            .map(|side| SidePlan::new(side, publish))
            .collect::<Result<_, _>>()?;
        check_different(&sides)?;
        let control = read_control(control, sides.first(), &name, publish)?;
        Ok(BridgePlan {
            name,
            sides,
            control,
            options,
            admin_listen,
            check: args.check,
            quiet,
        })
    }
}

impl SidePlan {
    fn new(mut fields: Fields, publish: Duration) -> Result<Self, Failure> {
        let name = fields.text("name")?;
        let name = name.ok_or_else(|| fields.problem("name is missing: give each side a name"))?;
        fields.name(&name);
        let url = fields.url()?;
        let url = url.ok_or_else(|| fields.problem("url is missing; url_file names a file that holds it"))?;
        let url = BrokerUrl::parse(&url).map_err(|failure| fields.problem(failure))?;
        let channel = fields.text("channel")?;
        let wire = read_wire(&mut fields, channel.as_deref())?;
        let namespaces = fields.list("namespaces")?;
        let silent_servers = fields.parsed("silent_servers", parse_bool)?;
        if wire.is_some() && silent_servers.is_some() {
            return Err(fields.problem("silent_servers is for servers of python-socketio, on the wire python"));
        }
        fields.finish()?;
        Ok(Self {
            name,
            url,
            options: manager_options(channel, publish),
            wire,
            namespaces,
            silent_servers: silent_servers.unwrap_or(true),
        })
    }
}

/// Refuses two sides that are the same fleet, as far as the settings tell.
fn check_different(sides: &[SidePlan]) -> Result<(), Failure> {
    let place = |side: &SidePlan| {
        let channel = side.wire.is_none().then(|| side.options.channel.clone());
        (side.url.to_string(), channel, format!("{:?}", side.wire))
    };
    for (at, side) in sides.iter().enumerate() {
        let Some(other) = sides[..at].iter().find(|other| place(other) == place(side)) else {
            continue;
        };
        let [one, two] = [other, side].map(|side| printable(&side.name));
        return Err(Failure::input(format!(
            "sides {one:?} and {two:?} are the same fleet: give them different channels or brokers"
        )));
    }
    Ok(())
}

fn manager_options(channel: Option<String>, publish: Duration) -> ManagerOptions {
    let defaults = ManagerOptions::default();
    ManagerOptions {
        channel: channel.unwrap_or_else(|| defaults.channel.clone()),
        deadline: publish,
        backoff_cap: LONGEST_WAIT,
        ..defaults
    }
}

fn read_wire(fields: &mut Fields, channel: Option<&str>) -> Result<Option<(WireName, NodeWire)>, Failure> {
    let known = || {
        let names = WireName::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value);
        names
            .map(|name| name.get_name().to_owned())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let name = fields.parsed("wire", |text| {
        WireName::from_str(text, false).map_err(|_| format!("none of the wires {}", known()))
    })?;
    let name = name.unwrap_or(WireName::Python);
    let args = WireArgs {
        wire: Some(name),
        wire_prefix: fields.text("wire_prefix")?,
        wire_stream: fields.text("wire_stream")?,
        wire_stream_count: fields.parsed("wire_stream_count", parse_count)?,
        wire_sharded_pub_sub: fields.parsed("wire_sharded_pub_sub", parse_bool)?.unwrap_or(false),
        wire_table: fields.text("wire_table")?,
    };
    let wire = wire::find(args, channel).map_err(|failure| fields.problem(failure))?;
    Ok(wire.map(|wire| (name, wire)))
}

fn read_limits(mut fields: Fields, options: &mut BridgeOptions) -> Result<(), Failure> {
    let waiting = fields.parsed("waiting", parse_size)?;
    let requests = fields.parsed("requests", parse_count)?;
    options.max_waiting_bytes = waiting.unwrap_or(options.max_waiting_bytes);
    options.max_requests = requests.map_or(options.max_requests, |count| count as usize);
    fields.finish()
}

/// Reads the times; returns how long a publish may take.
fn read_times(mut fields: Fields, options: &mut BridgeOptions) -> Result<Duration, Failure> {
    let publish = fields.parsed("publish", deadline::parse)?.unwrap_or(PUBLISH);
    for (key, time) in [
        ("request", &mut options.request_time),
        ("beat", &mut options.beat),
        ("lease", &mut options.lease),
        ("takeover", &mut options.takeover),
        ("settle", &mut options.settle),
        ("survey", &mut options.survey),
        ("flush", &mut options.flush),
    ] {
        if let Some(given) = fields.parsed(key, deadline::parse)? {
            *time = given;
        }
    }
    // A publish that begins at the end of a lease is complete before another bridge begins.
    if options.takeover < options.lease + publish {
        let text = format!(
            "takeover must not be shorter than lease and publish together: {:?}",
            options.lease + publish
        );
        return Err(fields.problem(text));
    }
    fields.finish()?;
    Ok(publish)
}

/// Reads the channel of the bridges: by default one of its own on the broker of the first side.
fn read_control(
    mut fields: Fields,
    first: Option<&SidePlan>,
    name: &str,
    publish: Duration,
) -> Result<Option<(BrokerUrl, ManagerOptions)>, Failure> {
    let is_enabled = fields.parsed("enabled", parse_bool)?.unwrap_or(true);
    let url = fields.url()?;
    let url = url.map(|url| BrokerUrl::parse(&url)).transpose();
    let url = url.map_err(|failure| fields.problem(failure))?;
    let channel = fields.text("channel")?.unwrap_or_else(|| format!("sio-bridge-{name}"));
    fields.finish()?;
    let url = url.or_else(|| first.map(|side| side.url.clone()));
    let control = url.map(|url| (url, manager_options(Some(channel), publish)));
    Ok(control.filter(|_| is_enabled))
}

fn of_flags(sides: &[String]) -> Result<Settings, Failure> {
    let sides: Result<Vec<_>, _> = sides.iter().map(|side| Fields::of_flag(side)).collect();
    let none = |known| Fields::none("--side", known);
    Ok(Settings {
        top: none(file::TOP),
        control: none(file::CONTROL),
        limits: none(file::LIMITS),
        times: none(file::TIMES),
        sides: sides?,
    })
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "expected a number, 1 or more".to_owned())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        unit => return Err(format!("unknown unit {unit:?}: use KiB, MiB or GiB")),
    };
    let number = digits.trim().parse::<usize>().ok();
    let size = number
        .and_then(|number| number.checked_mul(unit))
        .filter(|size| *size > 0);
    size.ok_or_else(|| "expected a size such as 64MiB".to_owned())
}

#[cfg(test)]
mod tests;
