//! The reasons why a token is refused, and why a key cannot be used.

/// The reason why a token is refused.
///
/// It is for the operator: in logs its [`code`](Self::code), on the command line its text. A client
/// is told the same for all of them. No text of the token is quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// The client gave none.
    #[error("the token is missing")]
    Missing,
    /// It is longer than [`max_token_bytes`](super::AccessLimits::max_token_bytes).
    #[error("the token has {bytes} bytes: the limit is {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It does not have the form of a JWT.
    #[error("it is not a JWT: three parts of base64url with dots between, of which the first two are JSON objects")]
    Malformed,
    /// The header names `none`, or an algorithm that is not supported.
    #[error("the header names an algorithm that is not accepted, such as `none`")]
    Algorithm,
    /// No key has the algorithm and the `kid` of the header.
    #[error("no key fits the algorithm and the kid of the header; a key accepts the algorithms of its own kind only")]
    NoKey,
    /// No key has made the signature.
    #[error("the signature is not by one of the keys")]
    Signature,
    /// `exp` is over.
    #[error("it has expired (exp)")]
    Expired,
    /// `nbf` has not come.
    #[error("it is not valid yet (nbf)")]
    NotYetValid,
    /// `iss` is not an expected one.
    #[error("the issuer is not an expected one (iss)")]
    Issuer,
    /// `aud` names no expected one, or there is an `aud` and none is expected.
    #[error("it is for another audience (aud); a token that names one is refused where none is expected")]
    Audience,
    /// A claim is not there.
    #[error("the claim {0} is missing")]
    NoClaim(&'static str),
    /// A claim has another form than expected, or is beyond a limit.
    #[error("the claim {name}: {problem}")]
    Claim {
        /// The claim.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is not for this namespace.
    #[error("it is not for this namespace (namespaces)")]
    Namespace,
    /// It was to refresh that of another subject.
    #[error("it is for another subject than the one to be refreshed (sub)")]
    Subject,
}

impl TokenFault {
    /// Returns whether the token was signed with a good key, and is refused for what it says.
    pub fn is_signed(&self) -> bool {
        match self {
            Self::Missing
            | Self::TooLong { .. }
            | Self::Malformed
            | Self::Algorithm
            | Self::NoKey
            | Self::Signature => false,
            Self::Expired
            | Self::NotYetValid
            | Self::Issuer
            | Self::Audience
            | Self::NoClaim(_)
            | Self::Claim { .. }
            | Self::Namespace
            | Self::Subject => true,
        }
    }

    /// Returns a word for logs and scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooLong { .. } => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::NoKey => "no_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoClaim(_) => "no_claim",
            Self::Claim { .. } => "claim",
            Self::Namespace => "namespace",
            Self::Subject => "subject",
        }
    }
}

/// The reason why a key, or the configuration of [`Access`](super::Access), cannot be used. It
/// never quotes a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret is too short: it could be guessed from a single token.
    #[error(
        "a secret must have at least {min} bytes, and this one has {bytes}: make one with `openssl rand -base64 48`"
    )]
    ShortSecret {
        /// Its length.
        bytes: usize,
        /// The limit.
        min: usize,
    },
    /// A key file was given where a secret is expected; who knows a public key could make tokens if
    /// it were used as a secret.
    #[error("this is a key file and not a secret: a public key must never be used as one")]
    NotASecret,
    /// A private key was given to check tokens with, which needs the public one.
    #[error("this is a private key; tokens are checked with the public one: `openssl pkey -in private.pem -pubout`")]
    Private,
    /// A public key was given to sign with.
    #[error("this is a public key; tokens are signed with the private one")]
    Public,
    /// The PEM file holds something else.
    #[error("the PEM file holds `{label}`: expected {expected}")]
    Label {
        /// What it says it holds.
        label: String,
        /// What it should.
        expected: &'static str,
    },
    /// The key is not of a kind that is supported.
    #[error("the key is not supported: RSA from 2048 to 8192 bits, P-256, P-384, Ed25519, or a secret (JWK `oct`)")]
    Unsupported,
    /// The file is neither a JWK set nor PEM.
    #[error("this is not a JWK set: {0}")]
    Jwks(&'static str),
    /// The algorithm is not one of the key's kind.
    #[error("the algorithm is not for this kind of key")]
    Algorithm,
    /// The keys are none, or more than [`Keys::MAX`](super::Keys::MAX).
    #[error("{count} keys: there must be from 1 to {max}")]
    Count {
        /// How many there are.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The file cannot be read, or is longer than a mebibyte.
    #[error("the key file cannot be read")]
    File(#[from] std::io::Error),
    /// A claim cannot be written.
    #[error("the claims cannot be signed")]
    Sign,
    /// An option cannot be used.
    #[error("{0}")]
    Config(&'static str),
}
