//! `sio config`: the settings of `serve`, checked and explained.

use gateway::config::{self, Loaded};

use crate::failure::Failure;
use crate::output;
use crate::plan::ConfigPlan;

/// Prints what the plan is for: a report, a file of settings, or a table.
pub(super) fn run(plan: &ConfigPlan) -> Result<(), Failure> {
    match plan {
        ConfigPlan::Check(loaded) => output::print(report(loaded).as_bytes()),
        ConfigPlan::Defaults => output::print(config::defaults().as_bytes()),
        ConfigPlan::Doc => output::print(config::table().as_bytes()),
    }
}

/// Names the settings that are not left at their defaults, each with its place.
fn report(loaded: &Loaded) -> String {
    for (name, meant) in &loaded.misspelt {
        output::tell(&format!(
            "sio: the variable {name} is not a setting; did you mean {meant}?"
        ));
    }
    let mut text = String::new();
    for (key, place) in &loaded.places {
        let value = loaded.config.shown(key).unwrap_or_default();
        text.push_str(&output::printable(&format!("{key} = {value}  # {place}")));
        text.push('\n');
    }
    text.push_str("# the configuration can be used\n");
    text
}
