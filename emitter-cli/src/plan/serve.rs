//! The plans of `serve`, `config` and `demo`, with the feature `serve`.

use std::num::NonZeroU64;

use gateway::config::{Config, Loaded, Problem, Sources, WireName};
use manager_api::ManagerOptions;

use crate::args::{ConfigAction, ServeArgs};
use crate::backend::BrokerUrl;
use crate::failure::Failure;
use crate::output::printable;

#[derive(Debug)]
pub(crate) struct ServePlan {
    pub(crate) config: Config,
    /// Where the configuration came from, to be read again.
    pub(crate) sources: Sources,
    /// Whether there is a file, which may be changed while the server runs.
    pub(crate) has_file: bool,
    /// `None` starts the embedded broker.
    pub(crate) url: Option<BrokerUrl>,
    pub(crate) options: ManagerOptions,
    /// Options with which another command of this shell reaches the same channel: those of the command line and the file. What the
    /// environment names it names for that command, too.
    pub(crate) emit_options: String,
    /// Whether the URL is not repeated in them, because it may hold secrets.
    pub(crate) is_url_left_out: bool,
    /// Variables that look like a misspelt setting, each with the one that may be meant.
    pub(crate) misspelt: Vec<(String, String)>,
    pub(crate) quiet: bool,
}

#[derive(Debug)]
pub(crate) struct DemoPlan {
    pub(crate) count: Option<NonZeroU64>,
}

#[derive(Debug)]
pub(crate) enum ConfigPlan {
    Check(Box<Loaded>),
    Defaults,
    Doc,
}

impl ServePlan {
    /// Reads the configuration and checks it.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(args: ServeArgs, quiet: bool) -> Result<ServePlan, Failure> {
        let sources = sources(args);
        let loaded = checked(&sources)?;
        let Loaded { config, places, .. } = loaded;
        // Variables also hold for the command that is proposed.
        let is_here = |key: &str| places.get(key).is_some_and(|place| !place.starts_with("SIO_"));
        let url = config
            .url
            .as_ref()
            .map(|url| BrokerUrl::parse(url.expose()))
            .transpose()?;
        let named = url.as_ref().filter(|_| is_here("url"));
        let channel = is_here("channel").then_some(config.channel.as_str());
        Ok(ServePlan {
            emit_options: emit_options(named, channel, &config.wire_options()),
            is_url_left_out: named.is_some_and(|url| !url.is_shown_whole()),
            options: ManagerOptions {
                channel: config.channel.clone(),
                ..ManagerOptions::default()
            },
            url,
            config,
            sources,
            has_file: loaded.file.is_some(),
            misspelt: loaded.misspelt,
            quiet,
        })
    }
}

impl ConfigPlan {
    /// Reads the configuration if it is to be checked.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what is wrong.
    pub(super) fn new(action: ConfigAction) -> Result<ConfigPlan, Failure> {
        match action {
            ConfigAction::Defaults => Ok(ConfigPlan::Defaults),
            ConfigAction::Doc => Ok(ConfigPlan::Doc),
            ConfigAction::Check(args) => {
                let loaded = checked(&sources(args))?;
                if let Some(url) = &loaded.config.url {
                    BrokerUrl::parse(url.expose())?;
                }
                Ok(ConfigPlan::Check(Box::new(loaded)))
            }
        }
    }
}

/// The layers of the configuration: flags, the environment of this process, and the file that either names.
fn sources(args: ServeArgs) -> Sources {
    Sources {
        flags: args.settings.0,
        env: std::env::vars_os().collect(),
        file: args.config,
    }
}

/// Reads all layers, and checks that they go together.
pub(crate) fn checked(sources: &Sources) -> Result<Loaded, Failure> {
    let loaded = sources.load().map_err(Failure::input)?;
    let checked = gateway::server::check(&loaded.config).and_then(|()| check_embedded(&loaded.config));
    match checked {
        Ok(()) => Ok(loaded),
        Err(problem) => Err(Failure::input(loaded.locate(problem))),
    }
}

/// Checks that the embedded broker, where it is used, has what the wire needs: it has neither streams nor sharded topics.
fn check_embedded(config: &Config) -> Result<(), Problem> {
    if config.url.is_some() || matches!(config.wire, WireName::Python | WireName::NodeClassic) {
        return Ok(());
    }
    let name = config.wire.name();
    let needed = match config.wire {
        WireName::NodePostgres => "PostgreSQL",
        _ => "Redis",
    };
    let text = format!("{name} needs {needed}, and the embedded broker is none: name one with --url");
    Err(Problem::of("wire", text))
}

fn emit_options(url: Option<&BrokerUrl>, channel: Option<&str>, wire: &[(&str, String)]) -> String {
    let mut options = String::new();
    if let Some(url) = url.filter(|url| url.is_shown_whole()) {
        options.push_str(&format!(" --url {}", quoted(&url.to_string())));
    }
    if let Some(channel) = channel {
        options.push_str(&format!(" --channel {}", quoted(&printable(channel))));
    }
    for (option, value) in wire {
        options.push_str(&format!(" {option}"));
        if !value.is_empty() {
            options.push_str(&format!(" {}", quoted(&printable(value))));
        }
    }
    options
}

/// Text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@+=,%".contains(char);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_try_reaches_the_same_channel() {
        let url = BrokerUrl::parse("redis://127.0.0.1:7000").unwrap();
        assert_eq!(emit_options(None, None, &[]), "");
        assert_eq!(
            emit_options(Some(&url), Some("other"), &[]),
            format!(" --url {url} --channel other")
        );
        for secret in ["redis://:pw@127.0.0.1:7000", "redis://127.0.0.1:7000?password=pw"] {
            // It would not work without its login.
            let url = BrokerUrl::parse(secret).unwrap();
            assert_eq!(emit_options(Some(&url), Some("other"), &[]), " --channel other");
        }
        assert_eq!(emit_options(None, Some("it's two"), &[]), r" --channel 'it'\''s two'");
        let wire = [
            ("--wire", "node-classic".to_owned()),
            ("--wire-prefix", "my app".to_owned()),
        ];
        assert_eq!(
            emit_options(None, None, &wire),
            " --wire node-classic --wire-prefix 'my app'"
        );
    }
}
