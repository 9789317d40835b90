//! The table `relay` of the file of settings: what neither the command line nor the environment says.

use std::path::Path;

use clap::ValueEnum;
use gateway::config::RelayValue;
use manager_api::deadline;

use crate::args::RelayArgs;
use crate::failure::Failure;

/// All keys of the table.
pub(super) const KEYS: [&str; 26] = [
    "source.kind",
    "source.url",
    "source.url_file",
    "source.from",
    "source.group",
    "source.consumer",
    "source.start",
    "source.field",
    "source.dead_letter",
    "source.claim_after",
    "source.id_column",
    "source.poll",
    "source.hold",
    "source.ordered",
    "source.max_record",
    "map.event",
    "map.namespace",
    "map.rooms",
    "map.except_rooms",
    "map.args",
    "map.body",
    "map.key",
    "strict",
    "in_flight",
    "drain",
    "timeout",
];

/// Fills what is missing from the file; names in it start from its folder.
pub(super) fn merge(args: &mut RelayArgs, values: &[RelayValue], folder: Option<&Path>) -> Result<(), Failure> {
    for value in values {
        set(args, value, folder).map_err(|text| Failure::input(format!("{}: {text}", value.place)))?;
    }
    if args.source_url.is_none()
        && let Some(file) = std::env::var_os("SIO_RELAY_SOURCE_URL_FILE").filter(|file| !file.is_empty())
    {
        let url = secret(Path::new(&file)).map_err(|text| format!("SIO_RELAY_SOURCE_URL_FILE: {text}"));
        args.source_url = Some(url.map_err(Failure::input)?);
    }
    Ok(())
}

fn set(args: &mut RelayArgs, value: &RelayValue, folder: Option<&Path>) -> Result<(), String> {
    let (reading, mapping) = (&mut args.reading, &mut args.mapping);
    match value.key.as_str() {
        "source.kind" => fill(&mut args.source, value, choice),
        "source.url" => fill(&mut args.source_url, value, text),
        "source.url_file" => fill(&mut args.source_url, value, |file| {
            secret(&folder.unwrap_or(Path::new("")).join(file))
        }),
        "source.from" => list(&mut reading.names, value),
        "source.group" => fill(&mut reading.group, value, text),
        "source.consumer" => fill(&mut reading.consumer, value, text),
        "source.start" => fill(&mut reading.start, value, choice),
        "source.field" => fill(&mut reading.field, value, text),
        "source.dead_letter" => fill(&mut reading.dead_letter, value, text),
        "source.claim_after" => fill(&mut reading.claim_after, value, deadline::parse),
        "source.id_column" => fill(&mut reading.id_column, value, text),
        "source.poll" => fill(&mut reading.poll, value, deadline::parse),
        "source.hold" => fill(&mut reading.hold, value, deadline::parse),
        "source.ordered" => raise(&mut reading.ordered, value),
        "source.max_record" => fill(&mut reading.max_record, value, number),
        "map.event" => fill(&mut mapping.event, value, text),
        "map.namespace" => fill(&mut mapping.namespace, value, text),
        "map.rooms" => list(&mut mapping.room, value),
        "map.except_rooms" => list(&mut mapping.except_room, value),
        "map.args" => list(&mut mapping.arg, value),
        "map.body" => fill(&mut mapping.body, value, choice),
        "map.key" => fill(&mut mapping.key, value, text),
        "strict" => raise(&mut args.strict, value),
        "in_flight" => fill(&mut args.in_flight, value, number),
        "drain" => fill(&mut args.drain, value, deadline::parse),
        "timeout" => fill(&mut args.timeout, value, deadline::parse),
        key => Err(format!("unknown key \"relay.{key}\"; known are {}", KEYS.join(", "))),
    }
}

/// Sets a value that was given nowhere else.
fn fill<T>(
    slot: &mut Option<T>,
    value: &RelayValue,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), String> {
    let value = read(one(value)?)?;
    slot.get_or_insert(value);
    Ok(())
}

/// Sets a flag, unless it is set.
fn raise(slot: &mut bool, value: &RelayValue) -> Result<(), String> {
    let is_set: bool = one(value)?.parse().map_err(|_| "expected true or false".to_owned())?;
    *slot |= is_set;
    Ok(())
}

fn list(slot: &mut Vec<String>, value: &RelayValue) -> Result<(), String> {
    if slot.is_empty() {
        slot.clone_from(&value.values);
    }
    Ok(())
}

fn one(value: &RelayValue) -> Result<&str, String> {
    match &value.values[..] {
        [value] => Ok(value),
        _ => Err("expected one value, not a list".to_owned()),
    }
}

fn text(value: &str) -> Result<String, String> {
    match value {
        "" => Err("must not be empty".to_owned()),
        value => Ok(value.to_owned()),
    }
}

fn number(value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| "expected a number".to_owned())
}

fn choice<T: ValueEnum>(value: &str) -> Result<T, String> {
    let names = || T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    T::from_str(value, false).map_err(|_| {
        let known: Vec<_> = names().map(|each| each.get_name().to_owned()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

/// Reads a secret from a file: one line, of which nothing is repeated.
fn secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    match text.trim_start_matches('\u{feff}').trim() {
        "" => Err(format!("{shown} is empty")),
        text if text.contains('\n') => Err(format!("{shown} holds more than one line")),
        text => Ok(text.to_owned()),
    }
}
