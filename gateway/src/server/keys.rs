//! The keys of the ready-made server: those of tokens, and those of the HTTP API.

use std::path::Path;

use super::Admission;
use crate::access::{Access, AccessConfig, Key, KeyError, Keys};
use crate::api::{ApiConfig, ApiKey};
use crate::config::{Config, Problem};

/// Says who may connect, by the settings: clients with a token if there are keys for it, otherwise
/// any client.
///
/// # Errors
///
/// If a key, or what tokens must say, cannot be used.
pub fn admission(config: &Config) -> Result<Admission, Problem> {
    let Some(keys) = of_tokens(config)? else {
        let publish = config.publish.unwrap_or_else(|| config.listen.is_local());
        return Ok(Admission::Open { publish });
    };
    let mut access = AccessConfig::default();
    access.issuers.clone_from(&config.token_issuers);
    access.audiences.clone_from(&config.token_audiences);
    access.leeway = config.token_leeway;
    access.requires_expiry = config.token_expiry;
    access.grants_claim.clone_from(&config.token_grants_claim);
    if !config.token_in_query {
        access.query_parameter = None;
    }
    access.limits.max_token_bytes = config.max_token.0;
    access.limits.refused_per_minute = config.max_refused_tokens;
    // What `sio who` shows of a client.
    access.shows_subject = true;
    let access = Access::new(&keys, access).map_err(|error| Problem::of("tokens.leeway", error))?;
    Ok(Admission::Tokens(access))
}

/// Checks the keys, and that the settings say who may connect.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    let has_keys = matches!(admission(config)?, Admission::Tokens(_));
    of_api(config)?;
    match (has_keys, config.open, config.listen.is_local()) {
        (true, true, _) => {
            let text = "clients need tokens where there are keys for them: leave out either";
            Err(Problem::of("open", text))
        }
        (false, false, false) => {
            let text = "others than programs of this machine reach this address: let clients show tokens (--token-key-file, or \
                        SIO_TOKENS_KEY_FILE), say with --open that anybody may join any room, or listen on 127.0.0.1 behind a proxy that \
                        decides who may connect";
            Err(Problem::of("listen", text))
        }
        _ => Ok(()),
    }
}

/// Reads the keys of tokens; `None` if clients need none.
pub(super) fn of_tokens(config: &Config) -> Result<Option<Keys>, Problem> {
    let mut keys = Vec::new();
    if let Some(key) = &config.token_key {
        let read = Key::from_bytes(key.expose().as_bytes());
        keys.extend(read.map_err(|error| Problem::of("tokens.key", error))?);
    }
    for file in &config.token_key_files {
        let read = Key::read_file(Path::new(file));
        keys.extend(read.map_err(|error| Problem::of("tokens.key_files", format!("{file}: {}", told(&error))))?);
    }
    if keys.is_empty() {
        return Ok(None);
    }
    let keys = Keys::new(keys).map_err(|error| Problem::of("tokens.key_files", error))?;
    Ok(Some(keys))
}

/// Returns the limits of the HTTP API.
pub(super) fn api_config(config: &Config) -> ApiConfig {
    ApiConfig {
        max_body_bytes: config.max_api_body.0,
        max_batch: config.max_api_batch as usize,
        max_requests: config.max_api_requests as usize,
        ..ApiConfig::default()
    }
}

/// Reads the keys of the HTTP API; `None` if there is to be none.
pub(super) fn of_api(config: &Config) -> Result<Option<Vec<ApiKey>>, Problem> {
    let Some(lines) = &config.api_keys else {
        return Ok(None);
    };
    let keys = ApiKey::parse_lines(lines.expose()).map_err(|error| Problem::of("api.keys", error))?;
    match keys.is_empty() {
        true => Err(Problem::of("api.keys", "it holds no key")),
        false => Ok(Some(keys)),
    }
}

/// An error of a key file with its cause, which the system gave.
fn told(error: &KeyError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
