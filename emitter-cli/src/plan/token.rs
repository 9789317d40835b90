//! The plans of `sio token`: the key is read, the claims are put together.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gateway::access::{AccessConfig, Algorithm, Key, KeyError, Keys, SigningKey, Verifier};
use manager_api::NamespaceName;
use serde_json::{Map, Value, json};

use crate::args::{Lifetime, TokenCheckArgs, TokenCommand, TokenGenArgs};
use crate::failure::Failure;

/// The variables that hold keys to check tokens with, or with [`OF_FILE`] name a file of them.
const CHECK_VARIABLE: &str = "SIO_TOKENS_KEY";
/// Those that hold a key to sign with.
const SIGN_VARIABLE: &str = "SIO_SIGNING_KEY";
const OF_FILE: &str = "_FILE";
/// The longest token that is read from standard input, in bytes: more than any server accepts.
const MAX_TOKEN_BYTES: u64 = 1 << 20;

/// Something to do with a token.
#[derive(Debug)]
pub(crate) enum TokenPlan {
    Gen(TokenGenPlan),
    Check(Box<TokenCheckPlan>),
}

/// A token to be made.
#[derive(Debug)]
pub(crate) struct TokenGenPlan {
    pub(crate) key: SigningKey,
    pub(crate) claims: Map<String, Value>,
}

/// A token to be checked.
#[derive(Debug)]
pub(crate) struct TokenCheckPlan {
    pub(crate) token: String,
    pub(crate) verifier: Verifier,
    pub(crate) namespace: NamespaceName,
    pub(crate) json: bool,
}

impl TokenPlan {
    /// Checks what the user typed, and reads keys and token.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change, and quotes neither key nor token.
    pub(super) fn new(command: TokenCommand) -> Result<Self, Failure> {
        match command {
            TokenCommand::Gen(args) => gen_plan(args).map(Self::Gen),
            TokenCommand::Check(args) => check_plan(args).map(Box::new).map(Self::Check),
        }
    }
}

/// Reads the key to sign with, and puts the claims together.
fn gen_plan(args: TokenGenArgs) -> Result<TokenGenPlan, Failure> {
    let source = match &args.key_file {
        Some(path) => Source::File(path.clone(), "--key-file"),
        None => find(&[SIGN_VARIABLE, CHECK_VARIABLE], |name| env::var_os(name))?,
    };
    let key = match &source {
        Source::File(path, _) => SigningKey::read_file(path),
        Source::Text(text, _) => SigningKey::from_bytes(text.as_bytes()),
    };
    let key = key.map_err(|error| source.unusable(error))?;
    if let Source::File(path, _) = &source {
        warn_if_shared(path);
    }
    let key = match &args.alg {
        Some(name) => {
            let algorithm: Algorithm = name
                .parse()
                .map_err(|_| Failure::input("--alg names no known algorithm"))?;
            key.with_algorithm(algorithm).map_err(|error| source.unusable(error))?
        }
        None => key,
    };
    let key = match &args.kid {
        Some(id) => key.with_id(id),
        None => key,
    };
    let claims = claims(&args)?;
    Ok(TokenGenPlan { key, claims })
}

/// Puts the claims together: those of `--claims`, then those of the other options.
fn claims(args: &TokenGenArgs) -> Result<Map<String, Value>, Failure> {
    let mut claims = match &args.claims {
        None => Map::new(),
        Some(json) => match serde_json::from_str(json) {
            Ok(Value::Object(claims)) => claims,
            _ => {
                return Err(Failure::input(
                    "--claims needs a JSON object, such as '{\"name\":\"Ada\"}'",
                ));
            }
        },
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    claims.entry("iat").or_insert_with(|| json!(now.as_secs()));
    if let Lifetime::For(time) = args.expires {
        claims.insert("exp".to_owned(), json!((now + time).as_secs()));
    }
    let texts = [("sub", &args.sub), ("iss", &args.iss)];
    for (name, text) in texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.as_ref()?)))
    {
        claims.insert(name.to_owned(), json!(text));
    }
    let lists = [
        ("rooms", &args.rooms),
        ("enter", &args.enter),
        ("publish", &args.publish),
        ("namespaces", &args.namespaces),
        ("aud", &args.aud),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        claims.insert(name.to_owned(), json!(list));
    }
    Ok(claims)
}

/// Reads the keys to check with, and the token.
fn check_plan(args: TokenCheckArgs) -> Result<TokenCheckPlan, Failure> {
    let sources = match args.key_file.is_empty() {
        true => vec![find(&[CHECK_VARIABLE], |name| env::var_os(name))?],
        false => args
            .key_file
            .into_iter()
            .map(|path| Source::File(path, "--key-file"))
            .collect(),
    };
    let mut keys = Vec::new();
    for source in &sources {
        let read = match source {
            Source::File(path, _) => Key::read_file(path),
            Source::Text(text, _) => Key::from_bytes(text.as_bytes()),
        };
        keys.extend(read.map_err(|error| source.unusable(error))?);
    }
    let mut config = AccessConfig::default();
    config.issuers = args.iss;
    config.audiences = args.aud;
    config.leeway = args.leeway;
    config.grants_claim = args.grants_claim;
    let unusable = |error: KeyError| Failure::input(error.to_string());
    let keys = Keys::new(keys).map_err(unusable)?;
    let verifier = Verifier::new(&keys, config).map_err(unusable)?;
    let token = match args.token {
        Some(token) if token != "-" => token,
        _ => token_from_input()?,
    };
    Ok(TokenCheckPlan {
        token: token.trim().to_owned(),
        verifier,
        namespace: super::namespace(&args.namespace)?,
        json: args.json,
    })
}

/// Reads the token from standard input.
fn token_from_input() -> Result<String, Failure> {
    let mut token = String::new();
    let read = std::io::stdin().lock().take(MAX_TOKEN_BYTES).read_to_string(&mut token);
    read.map_err(|error| Failure::input(format!("cannot read a token from standard input: {error}")))?;
    Ok(token)
}

/// Where a key comes from, with the name of the option or variable.
#[derive(Debug)]
enum Source {
    File(PathBuf, &'static str),
    Text(String, String),
}

impl Source {
    /// Says why the key cannot be used.
    fn unusable(&self, error: KeyError) -> Failure {
        let error = anyhow::Error::new(error);
        Failure::Input(match self {
            Self::File(path, name) => error.context(format!("{name} {}", path.display())),
            Self::Text(_, name) => error.context(name.clone()),
        })
    }
}

/// Finds a key in the environment; an empty variable is one that is not set.
fn find(names: &[&str], variable: impl Fn(&str) -> Option<OsString>) -> Result<Source, Failure> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    for name in names {
        let of_file = format!("{name}{OF_FILE}");
        match (set(name), set(&of_file)) {
            (Some(_), Some(_)) => {
                let text = format!("{name} and {of_file} are both set: unset one of them");
                return Err(Failure::input(text));
            }
            (Some(text), None) => {
                let text = text
                    .into_string()
                    .map_err(|_| Failure::input(format!("{name} is not UTF-8")))?;
                return Ok(Source::Text(text, (*name).to_owned()));
            }
            (None, Some(path)) => return Ok(Source::File(path.into(), "the file of the environment")),
            (None, None) => {}
        }
    }
    let text = format!(
        "a key is missing: name its file with --key-file, or with {}{OF_FILE}",
        names[0]
    );
    Err(Failure::input(text))
}

/// Warns of a file with a secret that other users can read.
#[cfg(unix)]
fn warn_if_shared(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & 0o044 != 0 {
        let file = path.display();
        tracing::warn!("other users can read {file}, and sign with its key: chmod 600 {file}");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &Path) {}

/// Returns how long it is until a moment, or since it, for people.
pub(crate) fn in_words(at: SystemTime, now: SystemTime) -> String {
    let rounded = |time: Duration| match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    };
    match at.duration_since(now) {
        Ok(left) => format!("in {}", rounded(left)),
        Err(over) => format!("{} ago", rounded(over.duration())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_environment_is_found_and_one_that_is_given_twice_refused() {
        let found = |set: &[(&str, &str)], names: &[&str]| {
            let variable = |name: &str| {
                let value = set.iter().find(|(each, _)| *each == name);
                value.map(|(_, value)| OsString::from(value))
            };
            find(names, variable)
                .map(|source| format!("{source:?}"))
                .map_err(|failure| failure.to_string())
        };
        let both = [SIGN_VARIABLE, CHECK_VARIABLE];
        assert!(found(&[("SIO_TOKENS_KEY", "k")], &both).is_ok_and(|source| source.contains("Text(\"k\"")));
        assert!(
            found(&[("SIO_SIGNING_KEY_FILE", "/f"), ("SIO_TOKENS_KEY", "k")], &both)
                .is_ok_and(|source| source.contains("/f"))
        );
        let twice = found(&[("SIO_TOKENS_KEY", "k3y"), ("SIO_TOKENS_KEY_FILE", "/f")], &both).unwrap_err();
        assert!(twice.contains("both set") && !twice.contains("k3y"), "{twice}");
        let none = found(&[("SIO_TOKENS_KEY", "")], &[CHECK_VARIABLE]).unwrap_err();
        assert!(
            none.contains("--key-file") && none.contains("SIO_TOKENS_KEY_FILE"),
            "{none}"
        );
    }

    #[test]
    fn times_are_told_in_words() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds, words) in [
            (5, "in 5 s"),
            (600, "in 10 min"),
            (10_000, "in 2 h"),
            (200_000, "in 2 days"),
        ] {
            assert_eq!(in_words(now + Duration::from_secs(seconds), now), words);
        }
        assert_eq!(in_words(now - Duration::from_secs(90), now), "90 s ago");
    }
}
