//! The cryptography of tokens: the algorithms of `jsonwebtoken`, carried out by ring.
//!
//! `jsonwebtoken` reads tokens and leaves signatures to a provider, of which a process has one.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{self as asymmetric, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, RsaPublicKeyComponents};

/// Makes `jsonwebtoken` use ring, unless the application chose a provider of its own before.
pub(super) fn install() {
    if CryptoProvider::try_get_default().is_none() {
        // Fails only if another thread has installed one in the meantime.
        let _ = PROVIDER.install_default();
    }
}

/// The provider of this crate.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // Only for making JWKs out of keys, which is not needed here.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(not_offered()),
        rsa_pub_components_from_public_key: |_| Err(not_offered()),
        ec_pub_components_from_private_key: |_, _| Err(not_offered()),
        ed_pub_components_from_private_key: |_, _| Err(not_offered()),
        compute_digest: |_, _| Err(not_offered()),
    },
};

/// The error of what only makers of JWKs need.
fn not_offered() -> Error {
    ErrorKind::Provider("keys are not converted into JWKs by this provider".to_owned()).into()
}

/// The private half, or the secret, with its algorithm.
struct Signing {
    algorithm: Algorithm,
    key: SigningKind,
}

/// A key in the form in which ring signs with it.
enum SigningKind {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn asymmetric::RsaEncoding),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

/// Makes what signs with a key. The algorithm must be one of the key's kind.
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let bytes = key.as_bytes();
    let kind = match algorithm.family() {
        AlgorithmFamily::Hmac => SigningKind::Hmac(hmac::Key::new(hmac_of(*algorithm)?, bytes)),
        AlgorithmFamily::Rsa => {
            let pair = RsaKeyPair::from_der(bytes).map_err(|error| ErrorKind::InvalidRsaKey(error.to_string()))?;
            SigningKind::Rsa(Box::new(pair), padding_of(*algorithm)?)
        }
        AlgorithmFamily::Ec => {
            let curve = match algorithm {
                Algorithm::ES256 => &asymmetric::ECDSA_P256_SHA256_FIXED_SIGNING,
                _ => &asymmetric::ECDSA_P384_SHA384_FIXED_SIGNING,
            };
            let pair = EcdsaKeyPair::from_pkcs8(curve, bytes, &SystemRandom::new());
            SigningKind::Ec(Box::new(pair.map_err(|_| ErrorKind::InvalidEcdsaKey)?))
        }
        AlgorithmFamily::Ed => {
            // OpenSSL writes keys without their public half.
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes);
            SigningKind::Ed(Box::new(pair.map_err(|_| ErrorKind::InvalidEddsaKey)?))
        }
    };
    Ok(Box::new(Signing {
        algorithm: *algorithm,
        key: kind,
    }))
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let failed = |_| SignatureError::new();
        match &self.key {
            SigningKind::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            SigningKind::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*padding, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            SigningKind::Ec(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            SigningKind::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The public half, or the secret, with its algorithm.
struct Verifying {
    algorithm: Algorithm,
    key: VerifyingKind,
}

/// A key in the form in which ring checks signatures with it.
enum VerifyingKind {
    Hmac(hmac::Key),
    /// A key in the encoding that ring takes.
    Encoded(Vec<u8>, &'static dyn asymmetric::VerificationAlgorithm),
    RsaComponents {
        n: Vec<u8>,
        e: Vec<u8>,
        parameters: &'static asymmetric::RsaParameters,
    },
}

/// Makes what checks signatures with a key. The algorithm must be one of the key's kind: an HMAC
/// with the bytes of a public key is refused here a second time.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let kind = match (algorithm.family(), key.kind()) {
        (AlgorithmFamily::Hmac, _) => {
            VerifyingKind::Hmac(hmac::Key::new(hmac_of(*algorithm)?, key.try_get_as_bytes()?))
        }
        (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => {
            VerifyingKind::Encoded(der.clone(), rsa_of(*algorithm)?)
        }
        (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => VerifyingKind::RsaComponents {
            n: without_zeros(n),
            e: without_zeros(e),
            parameters: rsa_of(*algorithm)?,
        },
        (AlgorithmFamily::Ec, _) => {
            let curve: &dyn asymmetric::VerificationAlgorithm = match algorithm {
                Algorithm::ES256 => &asymmetric::ECDSA_P256_SHA256_FIXED,
                _ => &asymmetric::ECDSA_P384_SHA384_FIXED,
            };
            VerifyingKind::Encoded(key.try_get_as_bytes()?.to_vec(), curve)
        }
        (AlgorithmFamily::Ed, _) => VerifyingKind::Encoded(key.try_get_as_bytes()?.to_vec(), &asymmetric::ED25519),
    };
    Ok(Box::new(Verifying {
        algorithm: *algorithm,
        key: kind,
    }))
}

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        let verified = match &self.key {
            VerifyingKind::Hmac(key) => hmac::verify(key, message, signature),
            VerifyingKind::Encoded(key, algorithm) => {
                asymmetric::UnparsedPublicKey::new(*algorithm, key).verify(message, signature)
            }
            VerifyingKind::RsaComponents { n, e, parameters } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
        };
        verified.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Returns the hash of an HMAC.
fn hmac_of(algorithm: Algorithm) -> Result<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Ok(hmac::HMAC_SHA256),
        Algorithm::HS384 => Ok(hmac::HMAC_SHA384),
        Algorithm::HS512 => Ok(hmac::HMAC_SHA512),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// Returns the padding with which an RSA key signs.
fn padding_of(algorithm: Algorithm) -> Result<&'static dyn asymmetric::RsaEncoding> {
    match algorithm {
        Algorithm::RS256 => Ok(&asymmetric::RSA_PKCS1_SHA256),
        Algorithm::RS384 => Ok(&asymmetric::RSA_PKCS1_SHA384),
        Algorithm::RS512 => Ok(&asymmetric::RSA_PKCS1_SHA512),
        Algorithm::PS256 => Ok(&asymmetric::RSA_PSS_SHA256),
        Algorithm::PS384 => Ok(&asymmetric::RSA_PSS_SHA384),
        Algorithm::PS512 => Ok(&asymmetric::RSA_PSS_SHA512),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// Returns the padding that signatures of RSA must have, and the lengths that keys may have.
fn rsa_of(algorithm: Algorithm) -> Result<&'static asymmetric::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Ok(&asymmetric::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Ok(&asymmetric::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Ok(&asymmetric::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Ok(&asymmetric::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Ok(&asymmetric::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Ok(&asymmetric::RSA_PSS_2048_8192_SHA512),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

/// Returns a number without the zeros that some programs write before it, which ring refuses.
fn without_zeros(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].to_vec()
}
