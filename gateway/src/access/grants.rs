//! Grants: what a token allows a client to do, read from its claims.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use manager_api::{NamespaceName, Room};
use serde_json::{Map, Value};
use socket_io::extract::{FromContext, Rejection};
use socket_io::handler::Context;

use super::admit::Ticket;
use super::config::{AccessConfig, AccessLimits};
use super::fault::TokenFault;
use super::pattern::Pattern;

/// The latest expiry that is told apart from none, in seconds since 1970: the year 9999.
const MAX_SECONDS: f64 = 253_402_300_799.0;

/// What a token allows its client to do. What it does not name is not allowed. Cloning is cheap.
///
/// | claim | value | grants |
/// |---|---|---|
/// | `sub` | text | the client's name; a token that refreshes another must have the same |
/// | `exp` | seconds since 1970 | the client is closed then |
/// | `enter` | names of rooms | the rooms that the client is put into when it connects; it may also join them |
/// | `rooms` | [patterns](Pattern) | the rooms that it may join |
/// | `publish` | patterns, or `true` for those of `rooms` and `enter` | the rooms that it may emit to |
/// | `namespaces` | patterns | the namespaces that the token is for; without it, each that the server has |
///
/// A list with a single entry may be the entry alone. It is an argument that
/// [handlers](socket_io::handler) can have:
///
/// ```
/// # use gateway::access::Grants;
/// # use socket_io::{Data, Socket, SocketIo};
/// # let io = SocketIo::new();
/// io.namespace("/").on("rename room", async |grants: Grants, Data(room): Data<String>| match grants.may_publish(&room) {
///     true => "done",
///     false => "not yours",
/// });
/// ```
#[derive(Clone)]
pub struct Grants(Arc<Granted>);

/// What all clones share.
struct Granted {
    subject: Option<Box<str>>,
    expires: Option<SystemTime>,
    enter: Box<[Room]>,
    join: Box<[Pattern]>,
    publish: Publish,
    namespaces: Option<Box<[Pattern]>>,
    max_name_bytes: usize,
}

/// The rooms that a client may emit to.
enum Publish {
    WhereItMayJoin,
    To(Box<[Pattern]>),
}

impl Grants {
    /// Returns the subject, `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// Returns when the token expires; `None` if it does not.
    pub fn expires(&self) -> Option<SystemTime> {
        self.0.expires
    }

    /// Returns the rooms that the client is put into when it connects.
    pub fn enter(&self) -> &[Room] {
        &self.0.enter
    }

    /// Returns the patterns of rooms that the client may join.
    pub fn join(&self) -> &[Pattern] {
        &self.0.join
    }

    /// Returns the patterns of rooms that the client may emit to; `None` if they are those that it may
    /// join.
    pub fn publish(&self) -> Option<&[Pattern]> {
        match &self.0.publish {
            Publish::WhereItMayJoin => None,
            Publish::To(rooms) => Some(rooms),
        }
    }

    /// Tells whether the client may join a room. The empty name and names that are too long are not
    /// allowed.
    pub fn may_join(&self, room: &str) -> bool {
        self.is_name(room) && (self.enters(room) || fits(&self.0.join, room))
    }

    /// Tells whether the client may emit to a room.
    pub fn may_publish(&self, room: &str) -> bool {
        match &self.0.publish {
            Publish::WhereItMayJoin => self.may_join(room),
            Publish::To(rooms) => self.is_name(room) && fits(rooms, room),
        }
    }

    /// Returns the patterns of namespaces that the token is for; `None` if it is for all.
    pub fn namespaces(&self) -> Option<&[Pattern]> {
        self.0.namespaces.as_deref()
    }

    /// Tells whether the token is for a namespace.
    pub fn is_for(&self, namespace: &NamespaceName) -> bool {
        let namespaces = self.0.namespaces.as_ref();
        namespaces.is_none_or(|patterns| fits(patterns, namespace.as_str()))
    }

    /// Tells whether the client is put into a room when it connects.
    fn enters(&self, room: &str) -> bool {
        self.0.enter.iter().any(|each| each.as_str() == room)
    }

    /// Tells whether a room has a name of an allowed length.
    fn is_name(&self, room: &str) -> bool {
        (1..=self.0.max_name_bytes).contains(&room.len())
    }

    /// Reads the claims of a token whose signature is good.
    pub(super) fn read(claims: &Map<String, Value>, config: &AccessConfig) -> Result<Self, TokenFault> {
        let nothing = Map::new();
        let holder = match &config.grants_claim {
            None => claims,
            Some(name) => match claims.get(name) {
                None => &nothing,
                Some(Value::Object(grants)) => grants,
                Some(_) => return Err(malformed("grants", "expected an object")),
            },
        };
        let limits = &config.limits;
        let rooms = texts(holder, "enter", limits)?.unwrap_or_default();
        if rooms.contains(&"") {
            return Err(malformed("enter", "the name of a room must not be empty"));
        }
        Ok(Self(Arc::new(Granted {
            subject: subject(claims)?,
            expires: expires(claims)?,
            enter: rooms.into_iter().map(Room::from).collect(),
            join: patterns(holder, "rooms", limits)?.unwrap_or_default(),
            publish: publish(holder, limits)?,
            namespaces: patterns(holder, "namespaces", limits)?,
            max_name_bytes: limits.max_pattern_bytes,
        })))
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("subject", &self.0.subject)
            .field("expires", &self.0.expires)
            .finish_non_exhaustive()
    }
}

impl<C: Context> FromContext<C> for Grants {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        let ticket = context.socket().get_session::<Ticket>();
        let missing = || Rejection::new("the client has no token: its namespace is not protected");
        ticket.map(|ticket| ticket.grants().clone()).ok_or_else(missing)
    }
}

/// Tells whether a name fits one of the patterns.
fn fits(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// Reads the subject, which is text.
fn subject(claims: &Map<String, Value>) -> Result<Option<Box<str>>, TokenFault> {
    match claims.get("sub") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(subject)) => Ok(Some(subject.as_str().into())),
        Some(_) => Err(malformed("sub", "expected text")),
    }
}

/// Reads seconds, which may have a fraction (RFC 7519 §2).
fn expires(claims: &Map<String, Value>) -> Result<Option<SystemTime>, TokenFault> {
    let seconds = match claims.get("exp") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_f64().ok_or(malformed("exp", "expected a number of seconds"))?,
    };
    match seconds {
        0.0..=MAX_SECONDS => Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))),
        _ => Err(malformed("exp", "expected a time from 1970 to 9999")),
    }
}

/// Reads the rooms that the client may emit to: patterns, or whether it may at all.
fn publish(claims: &Map<String, Value>, limits: &AccessLimits) -> Result<Publish, TokenFault> {
    match claims.get("publish") {
        Some(Value::Bool(true)) => Ok(Publish::WhereItMayJoin),
        Some(Value::Bool(false)) => Ok(Publish::To(Box::default())),
        _ => Ok(Publish::To(patterns(claims, "publish", limits)?.unwrap_or_default())),
    }
}

/// Reads a list of patterns.
fn patterns(
    claims: &Map<String, Value>,
    name: &'static str,
    limits: &AccessLimits,
) -> Result<Option<Box<[Pattern]>>, TokenFault> {
    let texts = texts(claims, name, limits)?;
    Ok(texts.map(|texts| texts.into_iter().map(Pattern::new).collect()))
}

/// Reads a list of texts, or a single one.
fn texts<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
    limits: &AccessLimits,
) -> Result<Option<Vec<&'a str>>, TokenFault> {
    let entries = match claims.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    if entries.len() > limits.max_patterns {
        return Err(malformed(name, "it has more entries than max_patterns"));
    }
    let text = |entry: &'a Value| match entry {
        Value::String(text) if text.len() <= limits.max_pattern_bytes => Ok(text.as_str()),
        Value::String(_) => Err(malformed(name, "an entry is longer than max_pattern_bytes")),
        _ => Err(malformed(name, "expected text, or a list of texts")),
    };
    entries.iter().map(text).collect::<Result<_, _>>().map(Some)
}

/// Refuses a claim.
fn malformed(name: &'static str, problem: &'static str) -> TokenFault {
    TokenFault::Claim { name, problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grants(claims: Value) -> Result<Grants, TokenFault> {
        let Value::Object(claims) = claims else {
            panic!("{claims}")
        };
        Grants::read(&claims, &AccessConfig::default())
    }

    #[test]
    fn what_a_token_does_not_name_is_not_allowed() {
        let nothing = grants(json!({"sub": "ada", "exp": 1})).unwrap();
        assert!(!nothing.may_join("lobby") && !nothing.may_publish("lobby") && nothing.enter().is_empty());
        assert_eq!(nothing.subject(), Some("ada"));
        assert!(nothing.is_for(&NamespaceName::root()));
        let some = grants(json!({"rooms": ["order:*", "news"], "publish": "order:7", "enter": ["user:ada"]})).unwrap();
        assert!(some.may_join("order:9") && some.may_join("news") && some.may_join("user:ada"));
        assert!(!some.may_join("newsroom") && !some.may_join("user:grace") && !some.may_join(""));
        assert!(some.may_publish("order:7") && !some.may_publish("order:9") && !some.may_publish("user:ada"));
        assert_eq!(some.enter(), [Room::from("user:ada")]);
    }

    #[test]
    fn publish_may_be_allowed_where_joining_is() {
        let both = grants(json!({"rooms": "a:*", "enter": "b", "publish": true})).unwrap();
        assert!(both.may_publish("a:1") && both.may_publish("b") && !both.may_publish("c"));
        assert!(
            !grants(json!({"rooms": "*", "publish": false}))
                .unwrap()
                .may_publish("a")
        );
        let long = "x".repeat(257);
        let all = grants(json!({"rooms": "*", "publish": "*"})).unwrap();
        assert!(!all.may_join(&long) && !all.may_publish(&long) && all.may_join(&long[1..]));
    }

    #[test]
    fn a_token_may_be_for_some_namespaces_only() {
        let chat = grants(json!({"namespaces": ["/chat", "/game-*"]})).unwrap();
        for (namespace, is_for) in [("/chat", true), ("/game-7", true), ("/", false), ("/chat/2", false)] {
            assert_eq!(
                chat.is_for(&NamespaceName::new(namespace).unwrap()),
                is_for,
                "{namespace}"
            );
        }
        assert!(
            !grants(json!({"namespaces": []}))
                .unwrap()
                .is_for(&NamespaceName::root())
        );
    }

    #[test]
    fn claims_of_another_form_or_size_are_refused() {
        for (claims, name) in [
            (json!({"rooms": 7}), "rooms"),
            (json!({"rooms": ["a", 7]}), "rooms"),
            (json!({"rooms": {"a": true}}), "rooms"),
            (json!({"rooms": vec!["a"; 129]}), "rooms"),
            (json!({"publish": ["a".repeat(257)]}), "publish"),
            (json!({"enter": [""]}), "enter"),
            (json!({"namespaces": false}), "namespaces"),
            (json!({"sub": 7}), "sub"),
            (json!({"exp": "tomorrow"}), "exp"),
            (json!({"exp": -1}), "exp"),
            (json!({"exp": 1e300}), "exp"),
        ] {
            match grants(claims.clone()) {
                Err(TokenFault::Claim { name: found, .. }) => assert_eq!(found, name, "{claims}"),
                other => panic!("{claims}: {other:?}"),
            }
        }
    }

    #[test]
    fn grants_may_stand_in_a_claim_of_their_own() {
        let config = AccessConfig {
            grants_claim: Some("https://app.example/sio".to_owned()),
            ..AccessConfig::default()
        };
        let read = |claims: Value| Grants::read(claims.as_object().unwrap(), &config);
        let inside = read(json!({"sub": "ada", "rooms": "*", "https://app.example/sio": {"rooms": "a"}})).unwrap();
        assert!(inside.may_join("a") && !inside.may_join("b"));
        assert_eq!(inside.subject(), Some("ada"));
        assert!(!read(json!({"rooms": "*"})).unwrap().may_join("a"));
        assert!(read(json!({"https://app.example/sio": 7})).is_err());
    }
}
