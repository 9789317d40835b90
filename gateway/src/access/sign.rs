//! Keys that make tokens, as `sio token gen` and tests do. A server needs none.

use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use super::fault::KeyError;
use super::key::{FileKind, checked_secret, kind_of, label_error, pem_blocks, read};
use super::provider;

/// A key that makes tokens: a secret, or the private half of a pair.
///
/// # Examples
///
/// ```
/// use gateway::access::{AccessConfig, Key, SigningKey, Verifier};
/// use serde_json::json;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = "a secret that has at least 32 bytes";
/// let claims = json!({"sub": "ada", "exp": 4_000_000_000_u64, "rooms": ["order:*"]});
/// let token = SigningKey::secret(secret)?.sign(claims.as_object().ok_or("an object")?)?;
///
/// let verifier = Verifier::new(&Key::secret(secret)?.into(), AccessConfig::default())?;
/// let verified = verifier.verify(&token)?;
/// assert!(verified.grants.may_join("order:7"));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SigningKey {
    encoding: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

impl SigningKey {
    /// Takes a secret. Signs with HS256.
    ///
    /// # Errors
    ///
    /// As [`Key::secret`](super::Key::secret).
    pub fn secret(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = checked_secret(secret.as_ref())?;
        let encoding = EncodingKey::from_secret(secret).map_err(|_| KeyError::Unsupported)?;
        Self::first_that_signs(encoding, &[Algorithm::HS256])
    }

    /// Reads the private key of a PEM file: `PRIVATE KEY` (PKCS #8) or `RSA PRIVATE KEY`. Signs
    /// with EdDSA, ES256, ES384 or RS256, as its kind demands.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`], [`KeyError::Label`] or [`KeyError::Unsupported`] if it is something
    /// else.
    pub fn pem(text: &str) -> Result<Self, KeyError> {
        let expected = "`PRIVATE KEY`, into which `openssl pkcs8 -topk8 -nocrypt` converts others";
        // The file of a curve may begin with its parameters.
        let mut blocks = pem_blocks(text).filter(|(label, _)| !label.ends_with("PARAMETERS"));
        let (label, block) = blocks.next().unwrap_or_default();
        match label {
            "PRIVATE KEY" | "RSA PRIVATE KEY" => {}
            _ if label.ends_with("PUBLIC KEY") => return Err(KeyError::Public),
            _ => return Err(label_error(label, expected)),
        }
        let pem = block.as_bytes();
        if let Ok(encoding) = EncodingKey::from_ed_pem(pem) {
            return Self::first_that_signs(encoding, &[Algorithm::EdDSA]);
        }
        if let Ok(encoding) = EncodingKey::from_ec_pem(pem) {
            return Self::first_that_signs(encoding, &[Algorithm::ES256, Algorithm::ES384]);
        }
        let encoding = EncodingKey::from_rsa_pem(pem).map_err(|_| KeyError::Unsupported)?;
        Self::first_that_signs(encoding, &[Algorithm::RS256])
    }

    /// Reads a file: PEM if it begins with `-----BEGIN`, otherwise a secret, to which one line
    /// break at its end does not belong.
    ///
    /// # Errors
    ///
    /// [`KeyError::File`], [`KeyError::Public`] if it is a JWK set, or as the functions above.
    pub fn read_file(path: &Path) -> Result<Self, KeyError> {
        Self::from_bytes(&read(path)?)
    }

    /// Reads what would stand in a key file, such as the value of a variable of the environment.
    ///
    /// # Errors
    ///
    /// As [`read_file`](Self::read_file), but for [`KeyError::File`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match kind_of(bytes) {
            FileKind::Jwks(_) => Err(KeyError::Public),
            FileKind::Pem(text) => Self::pem(text),
            FileKind::Secret(secret) => Self::secret(secret),
        }
    }

    /// Signs with another algorithm of the key's kind.
    ///
    /// # Errors
    ///
    /// [`KeyError::Algorithm`] if it is for keys of another kind.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, KeyError> {
        let id = self.id;
        let key = Self::first_that_signs(self.encoding, &[algorithm]).map_err(|_| KeyError::Algorithm)?;
        Ok(Self { id, ..key })
    }

    /// Names the key in tokens, as `kid`.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Returns the algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Makes a token.
    ///
    /// # Errors
    ///
    /// [`KeyError::Sign`] if the system has no randomness for the signature.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, KeyError> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.id);
        encode(&header, claims, &self.encoding).map_err(|_| KeyError::Sign)
    }

    /// Returns the key with the first of the algorithms that it can sign with.
    fn first_that_signs(encoding: EncodingKey, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        provider::install();
        let signs = |algorithm: &&Algorithm| encode(&Header::new(**algorithm), &json!({}), &encoding).is_ok();
        let algorithm = *algorithms.iter().find(signs).ok_or(KeyError::Unsupported)?;
        Ok(Self {
            encoding,
            algorithm,
            id: None,
        })
    }
}
