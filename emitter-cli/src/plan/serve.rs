//! The plans of `serve` and `demo`, with the feature `serve`.

use std::num::NonZeroU64;

use manager_api::{ManagerOptions, NamespaceName};

use super::{channel, namespace, url_source};
use crate::args::{ListenAddr, ServeArgs};
use crate::backend::BrokerUrl;
use crate::failure::Failure;
use crate::output::printable;

#[derive(Debug)]
pub(crate) struct ServePlan {
    pub(crate) listen: ListenAddr,
    /// `None` starts the embedded broker.
    pub(crate) url: Option<BrokerUrl>,
    pub(crate) options: ManagerOptions,
    /// Options with which another command of this shell reaches the same channel: those of the command line. What the environment names
    /// it names for that command, too.
    pub(crate) emit_options: String,
    /// Whether the URL was typed and is not repeated in them, because it may hold secrets.
    pub(crate) is_url_left_out: bool,
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
        let is_url_typed = args.url.is_some();
        let typed_channel = args.channel.clone();
        let url = url_source::find(args.url)?;
        let url = url.as_deref().map(BrokerUrl::parse).transpose()?;
        let options = ManagerOptions {
            channel: channel(args.channel)?,
            ..ManagerOptions::default()
        };
        let typed = url.as_ref().filter(|_| is_url_typed);
        let emit_options = emit_options(typed, typed_channel.as_deref());
        let is_url_left_out = typed.is_some_and(|url| !url.is_shown_whole());
        Ok(ServePlan {
            listen: args.listen,
            url,
            options,
            emit_options,
            is_url_left_out,
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

fn emit_options(url: Option<&BrokerUrl>, channel: Option<&str>) -> String {
    let mut options = String::new();
    if let Some(url) = url.filter(|url| url.is_shown_whole()) {
        options.push_str(&format!(" --url {}", quoted(&url.to_string())));
    }
    if let Some(channel) = channel {
        options.push_str(&format!(" --channel {}", quoted(&printable(channel))));
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

/// Origins as browsers send them, or `*`.
fn origins(origins: Vec<String>) -> Result<Vec<String>, Failure> {
    let named: Vec<String> = origins.iter().filter(|origin| *origin != "*").cloned().collect();
    let config = socket_io::config::EngineConfig {
        cors_allowed_origins: named.into(),
        ..Default::default()
    };
    let checked = config.validate();
    checked.map_err(|error| Failure::input(format!("--origin cannot be used: {error}")))?;
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_try_reaches_the_same_channel() {
        let url = BrokerUrl::parse("redis://127.0.0.1:7000").unwrap();
        assert_eq!(emit_options(None, None), "");
        assert_eq!(
            emit_options(Some(&url), Some("other")),
            format!(" --url {url} --channel other")
        );
        for secret in ["redis://:pw@127.0.0.1:7000", "redis://127.0.0.1:7000?password=pw"] {
            // It would not work without its login.
            let url = BrokerUrl::parse(secret).unwrap();
            assert_eq!(emit_options(Some(&url), Some("other")), " --channel other");
        }
        assert_eq!(emit_options(None, Some("it's two")), r" --channel 'it'\''s two'");
    }
}
