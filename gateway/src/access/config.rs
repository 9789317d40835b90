//! The configuration of access: what a token must say, where it is looked for, and the limits.

use std::time::Duration;

use super::fault::KeyError;

/// The longest leeway: clocks that differ by more are to be set right.
const MAX_LEEWAY: Duration = Duration::from_secs(600);

/// What a token must say, and where it is looked for.
///
/// Made by [`AccessConfig::default`], then changed field by field.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use gateway::access::AccessConfig;
///
/// let mut config = AccessConfig::default();
/// config.issuers = vec!["https://id.example".to_owned()];
/// config.audiences = vec!["chat".to_owned()];
/// config.leeway = Duration::from_secs(30);
/// config.limits.refused_per_minute = 20;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessConfig {
    /// The issuers that are accepted: the claim `iss` must name one of them. Default empty: `iss`
    /// is not looked at.
    pub issuers: Vec<String>,
    /// The audiences that this server is: the claim `aud` must name one of them. Default empty: a
    /// token that has an `aud` is refused, as RFC 7519 §4.1.3 demands.
    pub audiences: Vec<String>,
    /// How far the clock of the issuer may differ: an `nbf` may be so far ahead, and an `exp` so
    /// long ago, when a client connects. Default 5 s; zero allows no difference; at most 10
    /// minutes.
    pub leeway: Duration,
    /// Whether a token must have an `exp`. Default true: one without is good for as long as its
    /// key.
    pub requires_expiry: bool,
    /// The parameter of the query that may hold the token, for clients that cannot send `auth`;
    /// `None` looks at `auth.token` only. Default `token`. Proxies write queries into their logs,
    /// so tokens that pass there should be short-lived.
    pub query_parameter: Option<String>,
    /// The event by which a client hands in a new token. Default `refresh`.
    pub refresh_event: String,
    /// The claim that holds the [grants](super::Grants) as an object, for issuers whose own claims
    /// need a name of their own, such as `https://app.example/sio`. Default `None`: they are claims
    /// beside `sub` and `exp`.
    pub grants_claim: Option<String>,
    /// Whether the subject is shown to the other servers as the client's data, `{"sub": …}`, as
    /// `sio who` prints it. Default false: the application may keep other data there.
    pub shows_subject: bool,
    /// The limits of what clients send.
    pub limits: AccessLimits,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(5),
            requires_expiry: true,
            query_parameter: Some("token".to_owned()),
            refresh_event: "refresh".to_owned(),
            grants_claim: None,
            shows_subject: false,
            limits: AccessLimits::default(),
        }
    }
}

impl AccessConfig {
    /// Checks what can be checked without a token.
    pub(super) fn validate(&self) -> Result<(), KeyError> {
        if self.leeway > MAX_LEEWAY {
            return Err(KeyError::Config("the leeway must be at most 10 minutes"));
        }
        if manager_api::EventName::new(&self.refresh_event).is_err() {
            return Err(KeyError::Config(
                "the event that refreshes a token must have a name that is not reserved",
            ));
        }
        Ok(())
    }
}

/// Limits of tokens, and of attempts to connect without a good one.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AccessLimits {
    /// The longest token, in bytes; longer ones are refused unread. Default 8 KiB.
    pub max_token_bytes: usize,
    /// The most patterns or names in one claim. A token with more is refused. Default 128.
    pub max_patterns: usize,
    /// The longest pattern, and the longest name of a room that clients may join or publish to, in
    /// bytes. Default 256.
    pub max_pattern_bytes: usize,
    /// The refused attempts that one address may make in a minute; after that its tokens are
    /// refused unread until some of the minute has passed. IPv6 addresses of one /64 count as one.
    /// Zero sets no limit. Default 60.
    pub refused_per_minute: u32,
    /// The addresses whose refused attempts are counted. Where there are more, those with the
    /// fewest are forgotten. Default 4,096.
    pub max_addresses: usize,
}

impl Default for AccessLimits {
    fn default() -> Self {
        Self {
            max_token_bytes: 8 << 10,
            max_patterns: 128,
            max_pattern_bytes: 256,
            refused_per_minute: 60,
            max_addresses: 4096,
        }
    }
}
