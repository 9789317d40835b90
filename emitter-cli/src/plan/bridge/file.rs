//! The file of settings, in TOML.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Settings;
use super::fields::{Fields, SIDE, Value};
use crate::failure::Failure;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The keys of each table.
pub(super) const TOP: &[&str] = &["name", "admin_listen", "side", "control", "limits", "times"];
pub(super) const CONTROL: &[&str] = &["enabled", "url", "url_file", "channel"];
pub(super) const LIMITS: &[&str] = &["waiting", "requests"];
pub(super) const TIMES: &[&str] = &[
    "publish", "request", "beat", "lease", "takeover", "settle", "survey", "flush",
];

/// Reads a file.
///
/// # Errors
///
/// [`Failure::Input`] with the line, if it cannot be read or is not of the expected form.
pub(super) fn read(path: &Path) -> Result<Settings, Failure> {
    let name = path.display().to_string();
    let unusable = |error: std::io::Error| Failure::input(format!("{name}: cannot be read: {error}"));
    let mut text = String::new();
    let file = File::open(path).map_err(unusable)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unusable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::input(format!("{name}: is longer than 1 MiB")));
    }
    parse(&name, &text)
}

/// Reads the text of a file.
pub(super) fn parse(name: &str, text: &str) -> Result<Settings, Failure> {
    let place = |at: usize| format!("{name}:{}", 1 + text[..at.min(text.len())].matches('\n').count());
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Failure::input(format!("{}: {}", place(at), error.message()))
    })?;
    let mut settings = Settings {
        top: Fields::none(name, TOP),
        control: Fields::none(name, CONTROL),
        limits: Fields::none(name, LIMITS),
        times: Fields::none(name, TIMES),
        sides: Vec::new(),
    };
    let mut top = Vec::new();
    for (key, value) in table.get_ref() {
        let at = place(key.span().start);
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("side", DeValue::Array(sides)) => {
                for side in sides.iter() {
                    settings.sides.push(fields(side, &place, SIDE)?);
                }
            }
            ("control", _) => settings.control = fields(value, &place, CONTROL)?,
            ("limits", _) => settings.limits = fields(value, &place, LIMITS)?,
            ("times", _) => settings.times = fields(value, &place, TIMES)?,
            ("side", _) => return Err(Failure::input(format!("{at}: write [[side]] for each side"))),
            (_, DeValue::Table(_)) => top.push((key.get_ref().to_string(), Value::List(Vec::new()), at)),
            (key, value) => top.push((key.to_owned(), read_value(value, &at)?, at.clone())),
        }
    }
    settings.top = Fields::new(name.to_owned(), TOP, top);
    Ok(settings)
}

/// Reads a table.
fn fields(
    value: &Spanned<DeValue<'_>>,
    place: &dyn Fn(usize) -> String,
    known: &'static [&'static str],
) -> Result<Fields, Failure> {
    let at = place(value.span().start);
    let DeValue::Table(table) = value.get_ref() else {
        return Err(Failure::input(format!("{at}: expected a table")));
    };
    let mut entries = Vec::new();
    for (key, value) in table.iter() {
        let at = place(key.span().start);
        entries.push((key.get_ref().to_string(), read_value(value.get_ref(), &at)?, at));
    }
    Ok(Fields::new(at, known, entries))
}

fn read_value(value: &DeValue<'_>, place: &str) -> Result<Value, Failure> {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        _ => Err(Failure::input(format!(
            "{place}: expected text, a number, true or false"
        ))),
    };
    match value {
        DeValue::Array(array) => {
            let texts: Result<_, _> = array.iter().map(|each| scalar(each.get_ref())).collect();
            texts.map(Value::List)
        }
        value => scalar(value).map(Value::Text),
    }
}
