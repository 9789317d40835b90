//! The command lines of `serve`, `config` and `demo`, with the feature `serve`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand};
use gateway::config::{SETTINGS, Setting};

use super::examples::{CONFIG_EXAMPLES, DEMO_EXAMPLES, SERVE_EXAMPLES};
use super::values::num_deliveries;

/// Run a ready-made server whose clients join rooms and get what is emitted into them
#[derive(Debug, clap::Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// A file of settings, in TOML; also SIO_CONFIG. `sio config defaults` prints one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// Check the settings of `serve`, print their defaults, or what they mean
#[derive(Debug, clap::Args)]
#[command(after_help = CONFIG_EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Check file, environment and flags as `serve` would, and print the settings that are not left at their defaults
    #[command(
        after_help = "Example:\n  sio config check --config /etc/sio/sio.toml\n\nExit code: 0 it can be used, 2 it cannot."
    )]
    Check(ServeArgs),
    /// Print a file with every setting, its default and its meaning
    Defaults,
    /// Print a table of all settings, in Markdown
    Doc,
}

/// See it work: server, broker, client and emitter in one process, over real connections
#[derive(Debug, clap::Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// End after N deliveries
    #[arg(long, value_name = "N", value_parser = num_deliveries)]
    pub(crate) count: Option<NonZeroU64>,
}

/// The settings that were given as flags: keys and values, one flag for each setting of the table.
#[derive(Debug, Clone)]
pub(crate) struct SettingFlags(pub(crate) Vec<(&'static str, Vec<String>)>);

impl clap::Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command.args(with_flags().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = with_flags().filter_map(|setting| {
            let values = matches.get_many::<String>(setting.key)?;
            Some((setting.key, values.cloned().collect()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The settings that can be given on the command line: all but the secrets.
fn with_flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.flag.is_empty())
}

/// Makes the flag of a setting. Its value is read with those of the other layers.
fn flag(setting: &'static Setting) -> Arg {
    let mut help = setting.help().trim_end_matches('.').to_owned();
    if setting.is_list {
        help.push_str("; may be repeated");
    }
    let default = setting.default();
    let default = default.trim_matches('"');
    if !default.is_empty() && default != "[]" && default != "false" {
        help.push_str(&format!(". Default {default}"));
    }
    let flag = Arg::new(setting.key)
        .long(setting.flag)
        .help(help)
        .value_name(value_name(setting));
    let flag = if setting.flag == "namespace" {
        flag.short('n')
    } else {
        flag
    };
    match (setting.is_switch, setting.is_list) {
        (true, _) => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
        (false, true) => flag.action(ArgAction::Append),
        (false, false) => flag,
    }
}

/// How the value of a setting is called in the help.
fn value_name(setting: &Setting) -> &'static str {
    match setting.kind {
        "number" => "N",
        "time" => "TIME",
        "size" => "BYTES",
        "address" => "ADDR",
        "level" => "LEVEL",
        "true or false" => "BOOL",
        _ => "TEXT",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    #[test]
    fn a_switch_needs_no_value_and_a_list_is_a_flag_that_is_repeated() {
        let line = [
            "",
            "--open",
            "--page=false",
            "-n",
            "/a",
            "--namespace",
            "/b,/c",
            "--drain",
            "5s",
        ];
        let given = Line::parse_from(line).serve.settings.0;
        let values = |key: &str| {
            let found = given.iter().find(|(each, _)| *each == key);
            found.map(|(_, values)| values.join(" "))
        };
        assert_eq!(values("open").as_deref(), Some("true"));
        assert_eq!(values("page").as_deref(), Some("false"));
        assert_eq!(values("namespaces").as_deref(), Some("/a /b,/c"));
        assert_eq!((values("drain").as_deref(), values("path")), (Some("5s"), None));
    }
}
