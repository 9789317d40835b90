//! The keys of the API: who may do what, how often.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use manager_api::NamespaceName;
use manager_api::lock::Unpoisoned;
use ring::digest::{SHA256, digest};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::access::Pattern;
use crate::small_file;

/// The largest file of keys, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Something that a key may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// `POST /api/emit`.
    Emit,
    /// `POST /api/disconnect`.
    Disconnect,
    /// `GET /api/rooms`.
    Rooms,
    /// `GET /api/who`.
    Who,
}

impl Operation {
    /// Reads an operation by its path.
    fn parse(text: &str) -> Option<Self> {
        match text {
            "emit" => Some(Self::Emit),
            "disconnect" => Some(Self::Disconnect),
            "rooms" => Some(Self::Rooms),
            "who" => Some(Self::Who),
            _ => None,
        }
    }
}

/// A key of the API, with what it may do. Only its hash is kept.
///
/// Without further calls it may do everything, in every namespace, as often as it likes.
///
/// # Examples
///
/// ```
/// use gateway::access::Pattern;
/// use gateway::api::{ApiKey, Operation};
///
/// # fn example() -> Result<(), gateway::api::ApiKeyError> {
/// let worker = ApiKey::new("0123456789abcdef0123456789abcdef")?
///     .with_name("worker")
///     .only([Operation::Emit])
///     .in_namespace(Pattern::new("/chat"))
///     .events_per_second(100);
/// // The same as a line of a file:
/// let line = "0123456789abcdef0123456789abcdef name=worker only=emit namespace=/chat rate=100";
/// assert_eq!(format!("{worker:?}"), format!("{:?}", ApiKey::parse(line)?));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone)]
pub struct ApiKey {
    digest: [u8; 32],
    name: Option<String>,
    operations: Option<Vec<Operation>>,
    namespaces: Option<Vec<Pattern>>,
    events_per_second: Option<u32>,
}

/// The reason why a key cannot be used. It never quotes the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// It could be guessed.
    #[error(
        "an API key must have at least {min} bytes, and this one has {bytes}: make one with `openssl rand -hex 32`"
    )]
    Short {
        /// Its length.
        bytes: usize,
        /// The limit.
        min: usize,
    },
    /// It has blanks, or characters that a header cannot hold.
    #[error("an API key must be printable ASCII without blanks")]
    Characters,
    /// A line of a file says something else about its key.
    #[error(
        "the setting `{0}` cannot be used: name=TEXT, only=emit,disconnect,rooms,who, namespace=PATTERN, or rate=EVENTS-PER-SECOND"
    )]
    Setting(String),
    /// A file holds a key twice, perhaps with different settings.
    #[error("the key stands there twice")]
    Twice,
    /// A line of a file cannot be used.
    #[error("line {line}: {source}")]
    Line {
        /// Its number, from 1 on.
        line: usize,
        /// Why.
        source: Box<ApiKeyError>,
    },
    /// The file cannot be read, or is longer than a mebibyte.
    #[error("the file of API keys cannot be read")]
    File(#[from] io::Error),
}

impl ApiKey {
    /// The least length of a key, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// Takes a key.
    ///
    /// # Errors
    ///
    /// [`ApiKeyError::Short`] or [`ApiKeyError::Characters`].
    pub fn new(key: &str) -> Result<Self, ApiKeyError> {
        let (bytes, min) = (key.len(), Self::MIN_BYTES);
        if bytes < min {
            return Err(ApiKeyError::Short { bytes, min });
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError::Characters);
        }
        Ok(Self {
            digest: hash(key),
            name: None,
            operations: None,
            namespaces: None,
            events_per_second: None,
        })
    }

    /// Reads a line: the key, then settings with blanks between.
    ///
    /// | setting | allows |
    /// |---|---|
    /// | `name=TEXT` | names the key in logs |
    /// | `only=emit,who` | these operations only |
    /// | `namespace=/chat` | this namespace, or those that fit a pattern, only; may be repeated |
    /// | `rate=100` | so many events in a second |
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), or [`ApiKeyError::Setting`].
    pub fn parse(line: &str) -> Result<Self, ApiKeyError> {
        let mut words = line.split_ascii_whitespace();
        let key = Self::new(words.next().unwrap_or_default())?;
        words.try_fold(key, |key, setting| {
            let (name, value) = setting.split_once('=').unwrap_or_default();
            // A second key may have come into the line: what does not look like a name is not
            // quoted.
            let is_name = (1..=12).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase());
            let unknown = || ApiKeyError::Setting(if is_name { name } else { "…" }.to_owned());
            match name {
                "name" => Ok(key.with_name(value)),
                "only" => {
                    let operations: Option<Vec<_>> = value.split(',').map(Operation::parse).collect();
                    Ok(key.only(operations.ok_or_else(unknown)?))
                }
                "namespace" => Ok(key.in_namespace(Pattern::new(value))),
                "rate" => {
                    let rate = value.parse().ok().filter(|rate| *rate > 0);
                    Ok(key.events_per_second(rate.ok_or_else(unknown)?))
                }
                _ => Err(unknown()),
            }
        })
    }

    /// Reads a file with a key in each [line](Self::parse); empty lines and those that begin with
    /// `#` are left out.
    ///
    /// # Errors
    ///
    /// [`ApiKeyError::File`], or [`ApiKeyError::Line`] with the reason.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, ApiKeyError> {
        Self::parse_lines(&small_file::read_text(path, MAX_FILE_BYTES)?)
    }

    /// Reads text as [`read_file`](Self::read_file) reads a file.
    ///
    /// # Errors
    ///
    /// [`ApiKeyError::Line`].
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, ApiKeyError> {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut seen = HashSet::new();
        let mut once = |line: &str| {
            let key = Self::parse(line)?;
            match seen.insert(key.digest) {
                true => Ok(key),
                false => Err(ApiKeyError::Twice),
            }
        };
        let key = |(index, line): (usize, &str)| {
            once(line).map_err(|source| ApiKeyError::Line {
                line: index + 1,
                source: Box::new(source),
            })
        };
        lines.map(key).collect()
    }

    /// Names it in logs.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Allows these operations only.
    #[must_use]
    pub fn only(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.operations = Some(operations.into_iter().collect());
        self
    }

    /// Allows a namespace, or those that fit, only; further calls allow further ones.
    #[must_use]
    pub fn in_namespace(mut self, namespace: Pattern) -> Self {
        self.namespaces.get_or_insert_default().push(namespace);
        self
    }

    /// Allows so many events in a second. A list of more is taken if there was a pause before, and
    /// followed by one.
    #[must_use]
    pub fn events_per_second(mut self, rate: u32) -> Self {
        self.events_per_second = Some(rate);
        self
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("operations", &self.operations)
            .field("namespaces", &self.namespaces)
            .field("events_per_second", &self.events_per_second)
            .finish_non_exhaustive()
    }
}

/// Returns the hash by which a key is compared: of another key it has nothing in common with it.
fn hash(key: &str) -> [u8; 32] {
    let digest = digest(&SHA256, key.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The keys in use, and how far each has used its rate.
#[derive(Debug)]
pub(super) struct KeyRing(Vec<KeyInUse>);

#[derive(Debug)]
pub(super) struct KeyInUse {
    key: ApiKey,
    bucket: Mutex<Bucket>,
}

/// Events that may still be sent; below zero after a list that was larger.
#[derive(Debug)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl KeyRing {
    /// Takes keys, none of which has used any of its rate.
    pub(super) fn new(keys: impl IntoIterator<Item = ApiKey>) -> Self {
        let in_use = |key: ApiKey| KeyInUse {
            bucket: Mutex::new(Bucket {
                left: f64::from(key.events_per_second.unwrap_or_default()),
                since: Instant::now(),
            }),
            key,
        };
        Self(keys.into_iter().map(in_use).collect())
    }

    /// Finds a key. Hashes are compared, each with every one and to its end, so that the time tells
    /// nothing of the keys.
    pub(super) fn find(&self, given: &str) -> Option<&KeyInUse> {
        let given = hash(given);
        let mut found = u64::MAX;
        for (index, key) in (0_u64..).zip(&self.0) {
            found.conditional_assign(&index, key.key.digest.ct_eq(&given));
        }
        self.0.get(usize::try_from(found).ok()?)
    }
}

impl KeyInUse {
    /// Tells whether the key is for an operation.
    pub(super) fn may(&self, operation: Operation) -> bool {
        let operations = self.key.operations.as_ref();
        operations.is_none_or(|operations| operations.contains(&operation))
    }

    /// Tells whether the key is for a namespace.
    pub(super) fn may_use(&self, namespace: &NamespaceName) -> bool {
        let namespaces = self.key.namespaces.as_ref();
        namespaces.is_none_or(|patterns| patterns.iter().any(|each| each.matches(namespace.as_str())))
    }

    /// Returns what the key is called in logs.
    pub(super) fn name(&self) -> Option<&str> {
        self.key.name.as_deref()
    }

    /// Takes events out of the rate; otherwise returns in how many seconds some are left again.
    pub(super) fn take(&self, num_events: usize) -> Result<(), u64> {
        self.take_at(num_events, Instant::now())
    }

    /// As [`take`](Self::take), at a given time.
    fn take_at(&self, num_events: usize, now: Instant) -> Result<(), u64> {
        let Some(rate) = self.key.events_per_second.map(f64::from) else {
            return Ok(());
        };
        let mut bucket = self.bucket.lock().unpoisoned();
        let passed = now.saturating_duration_since(bucket.since).as_secs_f64();
        bucket.left = (bucket.left + passed * rate).min(rate);
        bucket.since = now;
        if bucket.left < 1.0 {
            // At least a second, as the header counts in whole ones.
            return Err(((1.0 - bucket.left) / rate) as u64 + 1);
        }
        bucket.left -= num_events as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
