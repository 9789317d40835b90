//! The keys that tokens are checked with.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::fault::KeyError;
use super::{jwks, provider};
use crate::small_file;

/// The largest key file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The least length of the DER encoding of an RSA key of 2048 bits.
const MIN_RSA_BYTES: usize = 256;

/// A key that tokens are checked with, and the algorithms that it accepts: those of its own kind,
/// and no others.
///
/// | key | algorithms |
/// |---|---|
/// | a secret | HS256, HS384, HS512 |
/// | RSA, 2048 to 8192 bits | RS256, RS384, RS512, PS256, PS384, PS512 |
/// | elliptic curve P-256, P-384 | ES256, ES384 |
/// | Ed25519 | EdDSA |
///
/// So `alg: none` is accepted by no key, and a token that was signed by HMAC with the text of a
/// public key is refused: a public key accepts no HMAC.
///
/// # Examples
///
/// ```
/// use gateway::access::{Algorithm, Key};
///
/// # fn example() -> Result<(), gateway::access::KeyError> {
/// let key = Key::secret("a secret that has at least 32 bytes")?
///     .with_id("2026-12")
///     .only(Algorithm::HS256)?;
/// assert_eq!((key.id(), key.algorithms()), (Some("2026-12"), &[Algorithm::HS256][..]));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone)]
pub struct Key {
    pub(super) id: Option<Box<str>>,
    pub(super) decoding: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

impl Key {
    /// The least length of a secret, in bytes: that of the hash of HS256 (RFC 7518 §3.2).
    pub const MIN_SECRET_BYTES: usize = 32;

    /// Takes a secret that the issuer shares.
    ///
    /// # Errors
    ///
    /// [`KeyError::ShortSecret`], [`KeyError::NotASecret`] if it is a PEM file.
    pub fn secret(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = checked_secret(secret.as_ref())?;
        let decoding = DecodingKey::from_secret(secret).map_err(|_| KeyError::Unsupported)?;
        Ok(Self::new(decoding, AlgorithmFamily::Hmac.algorithms().to_vec()))
    }

    /// Reads the public keys of a PEM file: blocks `PUBLIC KEY` or `RSA PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`], [`KeyError::Label`] or [`KeyError::Unsupported`] if a block is
    /// something else.
    pub fn pem(text: &str) -> Result<Vec<Self>, KeyError> {
        pem_blocks(text)
            .map(|(label, block)| public_key(label, block))
            .collect()
    }

    /// Reads a JWK set, or a single JWK. Keys that are not for signatures, or of a kind that is not
    /// supported, are left out with a warning in the log, so that an issuer may add them.
    ///
    /// # Errors
    ///
    /// [`KeyError::Jwks`] if it is neither, [`KeyError::Private`] if a private key is among them,
    /// [`KeyError::Count`] if no key is left.
    pub fn jwks(text: &str) -> Result<Vec<Self>, KeyError> {
        jwks::keys(text)
    }

    /// Reads a file: a JWK set if it begins with `{`, PEM if it begins with `-----BEGIN`, otherwise
    /// a secret, to which one line break at its end does not belong.
    ///
    /// # Errors
    ///
    /// [`KeyError::File`], or as the functions above.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, KeyError> {
        Self::from_bytes(&read(path)?)
    }

    /// Reads what would stand in a key file, such as the value of a variable of the environment.
    ///
    /// # Errors
    ///
    /// As [`read_file`](Self::read_file), but for [`KeyError::File`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Vec<Self>, KeyError> {
        match kind_of(bytes) {
            FileKind::Jwks(text) => Self::jwks(text),
            FileKind::Pem(text) => Self::pem(text),
            FileKind::Secret(secret) => Ok(vec![Self::secret(secret)?]),
        }
    }

    /// Sets the id, which a token names as `kid`. A token whose `kid` is that of a key is checked
    /// with this key only; all others with every key.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Accepts a single algorithm.
    ///
    /// # Errors
    ///
    /// [`KeyError::Algorithm`] if it is not one of the key's kind.
    pub fn only(mut self, algorithm: Algorithm) -> Result<Self, KeyError> {
        if !self.algorithms.contains(&algorithm) {
            return Err(KeyError::Algorithm);
        }
        self.algorithms = vec![algorithm];
        Ok(self)
    }

    /// Returns the id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the algorithms that it accepts.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Makes a key of the parts that were checked.
    pub(super) fn new(decoding: DecodingKey, algorithms: Vec<Algorithm>) -> Self {
        provider::install();
        Self {
            id: None,
            decoding,
            algorithms,
        }
    }
}

impl fmt::Debug for Key {
    // The key itself stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// The keys of an issuer: several while one replaces another. Cloning is cheap.
///
/// To replace a key, first add the new one to every server, then let the issuer sign with it, and
/// take the old one out when its last token has expired.
#[derive(Clone, Debug)]
pub struct Keys(pub(super) Arc<[Key]>);

impl Keys {
    /// The most keys: a token without a `kid` is checked with each that accepts its algorithm.
    pub const MAX: usize = 32;

    /// Takes keys, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// [`KeyError::Count`] if there are none, or more than [`MAX`](Self::MAX).
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let keys: Arc<[Key]> = keys.into_iter().collect();
        match keys.len() {
            1..=Self::MAX => Ok(Self(keys)),
            count => Err(KeyError::Count { count, max: Self::MAX }),
        }
    }

    /// Returns the keys.
    pub fn as_slice(&self) -> &[Key] {
        &self.0
    }
}

impl From<Key> for Keys {
    fn from(key: Key) -> Self {
        Self(Arc::new([key]))
    }
}

/// What a key file holds.
pub(super) enum FileKind<'a> {
    Jwks(&'a str),
    Pem(&'a str),
    Secret(&'a [u8]),
}

/// Tells what a key file holds by its beginning. A secret is what is neither a JWK set nor PEM.
pub(super) fn kind_of(bytes: &[u8]) -> FileKind<'_> {
    match std::str::from_utf8(bytes).map(str::trim_start) {
        Ok(text) if text.starts_with('{') => FileKind::Jwks(text),
        Ok(text) if text.starts_with("-----BEGIN") => FileKind::Pem(text),
        // As the settings read one: an editor's line break, or a byte order mark, is not part of it.
        Ok(_) => FileKind::Secret(text_of(bytes)),
        Err(_) => FileKind::Secret(bytes),
    }
}

/// Returns text without white space and a byte order mark around it.
fn text_of(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii()
}

/// Reads a key file of a limited length.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    Ok(small_file::read(path, MAX_FILE_BYTES)?)
}

/// Checks that a secret is long enough, and not a key file: all who know a public key could sign if
/// it passed for a secret.
pub(super) fn checked_secret(secret: &[u8]) -> Result<&[u8], KeyError> {
    let begins_with = |text: &[u8]| secret.trim_ascii_start().starts_with(text);
    if begins_with(b"-----BEGIN") {
        return Err(KeyError::NotASecret);
    }
    match secret.len() {
        bytes @ 0..Key::MIN_SECRET_BYTES => Err(KeyError::ShortSecret {
            bytes,
            min: Key::MIN_SECRET_BYTES,
        }),
        _ => Ok(secret),
    }
}

/// Splits a PEM file into blocks, each with its label.
pub(super) fn pem_blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let starts: Vec<usize> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let blocks: Vec<_> = starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| &text[start..end])
        .collect();
    blocks.into_iter().map(|block| {
        let label = block["-----BEGIN ".len()..].split("-----").next().unwrap_or_default();
        (label, block)
    })
}

/// Reads a block of a PEM file that should hold a public key.
fn public_key(label: &str, block: &str) -> Result<Key, KeyError> {
    let pem = block.as_bytes();
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
        _ if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
        "CERTIFICATE" => {
            let expected = "a public key, as `openssl x509 -pubkey -noout` takes it out of a certificate";
            return Err(label_error(label, expected));
        }
        _ => return Err(label_error(label, "`PUBLIC KEY`")),
    }
    let any = DecodingKey::from_ed_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_rsa_pem(pem));
    let decoding = any.map_err(|_| KeyError::Unsupported)?;
    let algorithms = algorithms_of(&decoding)?;
    Ok(Key::new(decoding, algorithms))
}

/// Refuses a block by its label, of which no more is kept than an error should hold.
pub(super) fn label_error(label: &str, expected: &'static str) -> KeyError {
    KeyError::Label {
        label: label.chars().take(40).collect(),
        expected,
    }
}

/// Returns what a public key accepts, by its kind and length.
pub(super) fn algorithms_of(key: &DecodingKey) -> Result<Vec<Algorithm>, KeyError> {
    let len = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.iter().skip_while(|byte| **byte == 0).count(),
    };
    match (key.family(), len) {
        // An uncompressed point.
        (AlgorithmFamily::Ec, 65) => Ok(vec![Algorithm::ES256]),
        (AlgorithmFamily::Ec, 97) => Ok(vec![Algorithm::ES384]),
        (AlgorithmFamily::Ed, 32) => Ok(vec![Algorithm::EdDSA]),
        (AlgorithmFamily::Rsa, MIN_RSA_BYTES..) => Ok(AlgorithmFamily::Rsa.algorithms().to_vec()),
        (AlgorithmFamily::Hmac, Key::MIN_SECRET_BYTES..) => Ok(AlgorithmFamily::Hmac.algorithms().to_vec()),
        _ => Err(KeyError::Unsupported),
    }
}

#[cfg(test)]
mod tests;
