//! The check of a token: form, signature, standard claims, grants.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::AccessConfig;
use super::fault::{KeyError, TokenFault};
use super::grants::Grants;
use super::key::{Key, Keys};

/// A token that was found good.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// What it allows.
    pub grants: Grants,
    /// All of its claims.
    pub claims: Map<String, Value>,
}

/// What tokens are checked with. It needs no server: `sio token check` uses it as it is.
///
/// # Behaviour
///
/// A token is checked in this order, and refused at the first fault:
///
/// 1. its length, before anything of it is read;
/// 2. the form of its header, and whether the algorithm is a known one;
/// 3. the signature, by the key that the header names as `kid`, or by each key that accepts the
///    algorithm;
/// 4. `exp`, `nbf`, `iss` and `aud`, with the leeway of the configuration;
/// 5. the claims that grant something, with their limits.
///
/// Nothing of a token is believed before its signature is found good, but which key to try.
///
/// # Examples
///
/// ```
/// use gateway::access::{AccessConfig, Key, TokenFault, Verifier};
///
/// # fn example() -> Result<(), gateway::access::KeyError> {
/// let keys = Key::secret("a secret that has at least 32 bytes")?.into();
/// let verifier = Verifier::new(&keys, AccessConfig::default())?;
/// assert_eq!(verifier.verify("nonsense").unwrap_err(), TokenFault::Malformed);
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Debug)]
pub struct Verifier {
    config: AccessConfig,
    /// Each key with what is to be checked of its tokens.
    keys: Vec<(Key, Validation)>,
}

/// The parts of a header that choose the key.
#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

impl Verifier {
    /// Takes the keys and what tokens must say.
    ///
    /// # Errors
    ///
    /// [`KeyError::Config`] if the configuration cannot be used.
    pub fn new(keys: &Keys, config: AccessConfig) -> Result<Self, KeyError> {
        config.validate()?;
        Ok(Self::over(keys, config))
    }

    /// Takes other keys for a configuration that was checked.
    pub(super) fn over(keys: &Keys, config: AccessConfig) -> Self {
        let keys = keys.as_slice().iter();
        let keys = keys.map(|key| (key.clone(), validation(key, &config))).collect();
        Self { config, keys }
    }

    /// Returns what tokens must say.
    pub fn config(&self) -> &AccessConfig {
        &self.config
    }

    /// Checks a token. The time is that of one signature for each key that it may be by.
    ///
    /// # Errors
    ///
    /// The reason why it is refused, for the operator's eyes.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenFault> {
        let (bytes, max) = (token.len(), self.config.limits.max_token_bytes);
        if bytes > max {
            return Err(TokenFault::TooLong { bytes, max });
        }
        let head = head(token)?;
        // Which algorithms there are is the key's to say: the header only chooses among the keys.
        let algorithm: Algorithm = head.alg.parse().map_err(|_| TokenFault::Algorithm)?;
        let mut fault = TokenFault::NoKey;
        for (key, validation) in self.candidates(head.kid.as_deref()) {
            if !key.algorithms.contains(&algorithm) {
                continue;
            }
            match decode::<Map<String, Value>>(token, &key.decoding, validation) {
                Ok(data) => return self.read(data.claims),
                Err(error) => fault = fault_of(error.kind()),
            }
            // Another key cannot make a good signature better.
            if fault != TokenFault::Signature {
                break;
            }
        }
        Err(fault)
    }

    /// Returns the keys of that id; all keys, if none has it.
    fn candidates<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a (Key, Validation)> {
        let is_named = move |key: &Key| kid.is_some() && key.id() == kid;
        let has_named = self.keys.iter().any(|(key, _)| is_named(key));
        self.keys.iter().filter(move |(key, _)| !has_named || is_named(key))
    }

    /// Reads what the claims of a good token grant.
    fn read(&self, claims: Map<String, Value>) -> Result<Verified, TokenFault> {
        let grants = Grants::read(&claims, &self.config)?;
        Ok(Verified { grants, claims })
    }
}

/// Makes the checks of `jsonwebtoken` for the tokens of one key: its algorithms, the times, issuer and
/// audience.
fn validation(key: &Key, config: &AccessConfig) -> Validation {
    let mut validation = Validation {
        algorithms: key.algorithms.clone(),
        leeway: config.leeway.as_secs(),
        validate_nbf: true,
        ..Validation::default()
    };
    let mut required = Vec::new();
    if config.requires_expiry {
        required.push("exp");
    }
    if !config.issuers.is_empty() {
        required.push("iss");
        validation.set_issuer(&config.issuers);
    }
    if !config.audiences.is_empty() {
        required.push("aud");
        validation.set_audience(&config.audiences);
    }
    validation.set_required_spec_claims(&required);
    validation
}

/// Reads the header, of which nothing is believed: it only chooses the key.
fn head(token: &str) -> Result<Head, TokenFault> {
    if token.split('.').count() != 3 {
        return Err(TokenFault::Malformed);
    }
    let encoded = token.split('.').next().unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenFault::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenFault::Malformed)
}

/// Translates an error of `jsonwebtoken`. What has no name of its own is a fault of the form.
fn fault_of(error: &ErrorKind) -> TokenFault {
    match error {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::ImmatureSignature => TokenFault::NotYetValid,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            TokenFault::Algorithm
        }
        ErrorKind::MissingRequiredClaim(name) => TokenFault::NoClaim(known(name)),
        ErrorKind::InvalidClaimFormat(name) => TokenFault::Claim {
            name: known(name),
            problem: "it has another form than expected",
        },
        _ => TokenFault::Malformed,
    }
}

/// Returns the name of a standard claim.
fn known(name: &str) -> &'static str {
    let names = ["exp", "nbf", "iss", "aud", "sub"];
    names
        .into_iter()
        .find(|each| *each == name)
        .unwrap_or("of the standard")
}

#[cfg(test)]
mod tests;
