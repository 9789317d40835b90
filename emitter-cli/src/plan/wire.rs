//! The wire of a command: that of its servers.

use std::env::VarError;

use clap::ValueEnum;
use siokit::node::NodeWire;

use crate::args::{WireArgs, WireName};
use crate::failure::Failure;

/// Names the wire where `--wire` does not.
const WIRE_VARIABLE: &str = "SIO_WIRE";

/// Finds the wire of Node's servers; `None` for that of our own. `channel` is the option, which such a wire does not
/// have.
///
/// # Errors
///
/// [`Failure::Input`] if the name is unknown, or an option has no effect on the wire.
pub(super) fn find(args: WireArgs, channel: Option<&str>) -> Result<Option<NodeWire>, Failure> {
    let name = match args.wire {
        Some(name) => name,
        None => of_variable()?,
    };
    let is_streams = matches!(name, WireName::NodeStreams | WireName::NodeStreams02);
    if !is_streams && (args.wire_stream.is_some() || args.wire_stream_count.is_some()) {
        return Err(Failure::input(
            "--wire-stream and --wire-stream-count need --wire node-streams",
        ));
    }
    if name != WireName::NodeStreams && args.wire_sharded_pub_sub {
        return Err(Failure::input("--wire-sharded-pub-sub needs --wire node-streams"));
    }
    if name != WireName::NodePostgres && args.wire_table.is_some() {
        return Err(Failure::input("--wire-table needs --wire node-postgres"));
    }
    let wire = match name {
        WireName::Python if args.wire_prefix.is_some() => {
            return Err(Failure::input(
                "--wire-prefix needs --wire node-…; servers of this project and of python-socketio share a --channel",
            ));
        }
        WireName::Python => return Ok(None),
        WireName::NodeClassic => NodeWire::classic(),
        WireName::NodeSharded => NodeWire::sharded(),
        WireName::NodeStreams => NodeWire::streams().sharded_pub_sub(args.wire_sharded_pub_sub),
        WireName::NodeStreams02 => NodeWire::streams_before_0_3(),
        WireName::NodePostgres => NodeWire::postgres(),
    };
    if channel.is_some() {
        return Err(Failure::input(
            "--channel has no effect on servers of Node, whose channels are named by --wire-prefix",
        ));
    }
    let wire = args.wire_prefix.into_iter().fold(wire, NodeWire::prefix);
    let wire = args.wire_table.into_iter().fold(wire, NodeWire::table);
    let wire = args.wire_stream.into_iter().fold(wire, NodeWire::stream);
    Ok(Some(
        args.wire_stream_count.into_iter().fold(wire, NodeWire::stream_count),
    ))
}

/// Refuses a command that knows no wire where the variable names one of Node: it would look at the wrong channel.
///
/// # Errors
///
/// [`Failure::Input`], which says what to do.
pub(super) fn refuse(command: &str) -> Result<(), Failure> {
    if of_variable()? == WireName::Python {
        return Ok(());
    }
    Err(Failure::input(format!(
        "{command} reads the channel of servers of this project and of python-socketio, and {WIRE_VARIABLE} names a wire of \
         Node: unset it; `sio count --wire …` tells whether servers on Node respond"
    )))
}

/// Reads the variable; an empty one is one that is not set.
fn of_variable() -> Result<WireName, Failure> {
    match std::env::var(WIRE_VARIABLE) {
        Ok(name) if !name.trim().is_empty() => WireName::from_str(name.trim(), false).map_err(|_| {
            let known = WireName::value_variants()
                .iter()
                .filter_map(ValueEnum::to_possible_value);
            let known: Vec<_> = known.map(|name| name.get_name().to_owned()).collect();
            Failure::input(format!("{WIRE_VARIABLE} names none of the wires {}", known.join(", ")))
        }),
        Err(VarError::NotUnicode(_)) => Err(Failure::input(format!("{WIRE_VARIABLE} is not UTF-8"))),
        _ => Ok(WireName::Python),
    }
}
