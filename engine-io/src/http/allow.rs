//! The predicate that decides which requests may open a session.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;

/// A function that decides about a request.
type Decide = dyn Fn(&Parts) -> Result<(), Forbidden> + Send + Sync;

/// The requests that may open a session.
///
/// It is checked for handshakes alone, on both transports, not for the polls and upgrades of a
/// session that exists. It must not block: a check that has to wait, such as for a database,
/// belongs in a layer in front of the engine, or in the handler of the protocol above.
///
/// ```
/// use engine_io::Config;
/// use engine_io::config::AllowRequest;
///
/// let config = Config {
///     allow_request: AllowRequest::matching(|request| match request.headers.get("x-key") {
///         Some(key) if key == "open sesame" => Ok(()),
///         Some(_) => Err("the key is wrong".into()),
///         None => Err(Default::default()),
///     }),
///     ..Config::default()
/// };
/// # config.validate().unwrap();
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum AllowRequest {
    /// All of them.
    #[default]
    All,
    /// Those for which a function returns `Ok`; it is given the request. See
    /// [`matching`](Self::matching).
    Matching(Arc<Decide>),
}

impl AllowRequest {
    /// Allows the requests for which `decide` returns `Ok`.
    ///
    /// The response to the others is 403 and `{"code":4,"message":"Forbidden"}`, or a message of
    /// its own; to those that want to become a WebSocket it is 400 and the message, before they
    /// switch.
    pub fn matching(decide: impl Fn(&Parts) -> Result<(), Forbidden> + Send + Sync + 'static) -> Self {
        Self::Matching(Arc::new(decide))
    }

    /// Returns the refusal of a request that may not open a session.
    pub(crate) fn check(&self, parts: &Parts) -> Result<(), Forbidden> {
        match self {
            Self::All => Ok(()),
            Self::Matching(decide) => decide(parts),
        }
    }
}

impl fmt::Debug for AllowRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::Matching(_) => "Matching(..)",
        })
    }
}

/// The refusal of a request; the client gets its message, or `Forbidden`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forbidden(Option<Cow<'static, str>>);

impl Forbidden {
    /// Creates a refusal with a message.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(Some(message.into()))
    }

    /// Returns the message for the client.
    pub(crate) fn message(self) -> Cow<'static, str> {
        self.0.unwrap_or(Cow::Borrowed("Forbidden"))
    }
}

impl From<&'static str> for Forbidden {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Forbidden {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
