//! The authentication of administrators: credentials, tokens, and how they are checked.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::attempts::Attempts;

/// Attempts that may wait for a hash to be compared; more are refused.
const MAX_WAITING: usize = 16;

/// How late a password is answered, right or wrong: who leaves before has learnt nothing.
const ANSWERED_AFTER: Duration = Duration::from_millis(500);

/// Attempts in a minute: of one address, and of all.
const PER_PEER: u32 = 20;
const IN_TOTAL: u32 = 200;

/// The cost of deriving the key of tokens from a password: some 0.2 s on one core, once for each server, and for each guess at a password.
const KEY_COST: u32 = 12;

/// What an administrator says when connecting; what is not said is empty.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Credentials {
    /// The name.
    #[serde(deserialize_with = "or_empty")]
    pub username: String,
    /// The password.
    #[serde(deserialize_with = "or_empty")]
    pub password: String,
    /// The token that an earlier login was answered with.
    #[serde(rename = "sessionId", deserialize_with = "or_empty")]
    pub(super) token: String,
}

impl Credentials {
    /// Tells whether nothing was said: so begins the page, to see whether it has to ask its user.
    pub(super) fn is_empty(&self) -> bool {
        self.username.is_empty() && self.password.is_empty() && self.token.is_empty()
    }
}

/// The page says `null` where it has nothing to say.
fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl std::fmt::Debug for Credentials {
    // The password stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

type Check = Arc<dyn Fn(Credentials) -> BoxFuture<'static, Login> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Auth {
    check: Option<Check>,
    attempts: Arc<Attempts>,
    secret: Secret,
    /// Signs the tokens; servers with the same password have the same. Derived when it is first needed.
    key: Arc<OnceCell<[u8; 32]>>,
}

/// What the key of tokens is derived from.
#[derive(Clone)]
enum Secret {
    /// Nothing but this process knows it.
    Random([u8; 32]),
    /// A password of a person, which may be guessed: a guess must be dear.
    Password { username: String, password: String },
    /// A hash with 16 bytes of salt, or a secret for this purpose: neither can be guessed.
    Strong(Vec<u8>),
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// By name and password, or because every client is accepted.
    Accepted,
    /// By the token of an earlier login.
    Again,
    Refused,
    /// Unseen: too many others are being looked at.
    Busy,
    /// Unseen: its address, or all together, have tried too often.
    Limited,
}

impl From<bool> for Login {
    fn from(is_right: bool) -> Self {
        if is_right { Self::Accepted } else { Self::Refused }
    }
}

impl Auth {
    fn new(check: Option<Check>, secret: Secret) -> Self {
        Self {
            check,
            attempts: Arc::new(Attempts::new(PER_PEER, IN_TOTAL)),
            secret,
            key: Arc::default(),
        }
    }

    pub(super) fn open() -> Self {
        Self::new(None, Secret::Random(random()))
    }

    pub(super) fn checked<F, Fut>(check: F) -> Self
    where
        F: Fn(Credentials) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        let check: Check = Arc::new(move |credentials| check(credentials).map(Login::from).boxed());
        Self::new(Some(check), Secret::Random(random()))
    }

    pub(super) fn limit_attempts(&mut self, per_peer: u32, total: u32) {
        self.attempts = Arc::new(Attempts::new(per_peer, total));
    }

    /// Signs tokens with a secret of its own; they end with the password all the same.
    pub(super) fn sign_with(&mut self, secret: &[u8]) {
        let mut mac = hmac(secret);
        match &self.secret {
            Secret::Random(_) => {}
            Secret::Password { username, password } => {
                mac.update(username.as_bytes());
                mac.update(b"\0");
                mac.update(password.as_bytes());
            }
            Secret::Strong(secret) => mac.update(secret),
        }
        self.secret = Secret::Strong(mac.finalize().into_bytes().to_vec());
        self.key = Arc::default();
    }

    pub(super) fn password(username: String, password: String) -> Self {
        let secret = Secret::Password {
            username: username.clone(),
            password: password.clone(),
        };
        let check = move |given: Credentials| {
            let is_it = same(&given.username, &username) & same(&given.password, &password);
            std::future::ready(is_it)
        };
        Self {
            secret,
            ..Self::checked(check)
        }
    }

    pub(super) fn bcrypt(username: String, hash: String) -> Result<Self, bcrypt::BcryptError> {
        hash.parse::<bcrypt::HashParts>()?;
        let secret = Secret::Strong([username.as_bytes(), b"\0", hash.as_bytes()].concat());
        let (turn, waiting) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(MAX_WAITING)));
        let check: Check = Arc::new(move |given: Credentials| {
            let is_name = same(&given.username, &username);
            let (hash, turn, waiting) = (hash.clone(), turn.clone(), waiting.clone());
            let check = async move {
                if given.is_empty() {
                    return Login::Refused;
                }
                // Attempts are cheap to make and dear to check: neither all cores nor memory go into them.
                let Ok(_place) = waiting.try_acquire() else {
                    return Login::Busy;
                };
                let Ok(turn) = turn.acquire_owned().await else {
                    return Login::Busy;
                };
                let compared = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    bcrypt::verify(given.password, &hash).unwrap_or(false)
                });
                // Compared in any case, so that the time it takes tells nothing of the name.
                Login::from(compared.await.unwrap_or(false) & is_name)
            };
            check.boxed()
        });
        Ok(Self::new(Some(check), secret))
    }

    /// Checks credentials. Unless they are accepted for their token, right and wrong ones are answered after the same time.
    pub(super) async fn login(&self, credentials: Credentials, peer: Option<IpAddr>) -> Login {
        let Some(check) = &self.check else {
            return Login::Accepted;
        };
        let answered = Instant::now() + ANSWERED_AFTER;
        if self.is_token(&credentials.token, now()).await {
            return Login::Again;
        }
        // Counted before anything is waited for. A client that says nothing does not guess: so begins the page.
        let login = match credentials.is_empty() || self.attempts.begin(peer) {
            true => check(credentials).await,
            false => Login::Limited,
        };
        sleep_until(answered).await;
        login
    }

    /// Makes a token that is accepted for a time; `None` if none is needed.
    pub(super) async fn token(&self, duration: Duration) -> Option<String> {
        self.check.as_ref()?;
        let seconds = duration
            .as_secs()
            .saturating_add(u64::from(duration.subsec_nanos() > 0));
        if seconds == 0 {
            return None;
        }
        Some(self.token_until(now().saturating_add(seconds)).await)
    }

    async fn token_until(&self, end: u64) -> String {
        let signature = self.mac(end).await.finalize().into_bytes();
        format!("{end:x}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    async fn is_token(&self, token: &str, now: u64) -> bool {
        let Some((end, signature)) = token.split_once('.') else {
            return false;
        };
        let (Ok(end), Ok(signature)) = (u64::from_str_radix(end, 16), URL_SAFE_NO_PAD.decode(signature)) else {
            return false;
        };
        now < end && self.mac(end).await.verify_slice(&signature).is_ok()
    }

    async fn mac(&self, end: u64) -> Hmac<Sha256> {
        let key = self.key.get_or_init(|| self.secret.clone().key()).await;
        let mut mac = hmac(key);
        mac.update(&end.to_be_bytes());
        mac
    }
}

impl Secret {
    /// Derives the key of tokens, apart from the runtime where that takes long.
    async fn key(self) -> [u8; 32] {
        match self {
            Self::Random(key) => key,
            Self::Strong(secret) => labelled(&secret),
            Self::Password { username, password } => {
                let derived = tokio::task::spawn_blocking(move || slow_key(&username, &password));
                // It fails when the runtime ends. A random key accepts nothing.
                derived.await.unwrap_or_else(|_| random())
            }
        }
    }
}

/// Derives a key from a password at a cost that each guess at a password has as well.
///
/// Nothing is stored and every server must come to the same key, so the salt is made of the name.
fn slow_key(username: &str, password: &str) -> [u8; 32] {
    let salt = labelled(username.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&salt[..16]);
    // bcrypt takes 72 bytes.
    let password = labelled(password.as_bytes());
    labelled(&bcrypt::bcrypt(KEY_COST, short, &password))
}

fn labelled(secret: &[u8]) -> [u8; 32] {
    let mut mac = hmac(secret);
    mac.update(b"sessions of socket-io's administrators\0");
    mac.finalize().into_bytes().into()
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn random() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the operating system gives random bytes");
    key
}

/// Compares without telling by the time it takes where the texts differ.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
