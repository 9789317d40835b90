//! Who is an administrator.

use std::future::Future;
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
use tokio::sync::Semaphore;

/// Attempts that may wait for a hash to be compared; more are refused.
const MAX_WAITING: usize = 16;

/// How late a wrong password is answered.
pub(super) const PENALTY: Duration = Duration::from_millis(500);

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
    /// Signs the tokens; servers with the same password have the same.
    key: [u8; 32],
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// By name and password, or because everybody is accepted.
    Accepted,
    /// By the token of an earlier login.
    Again,
    Refused,
    /// Unseen: too many others are being looked at.
    Busy,
}

impl From<bool> for Login {
    fn from(is_right: bool) -> Self {
        if is_right { Self::Accepted } else { Self::Refused }
    }
}

impl Auth {
    pub(super) fn open() -> Self {
        Self {
            check: None,
            key: random(),
        }
    }

    pub(super) fn checked<F, Fut>(check: F) -> Self
    where
        F: Fn(Credentials) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        Self {
            check: Some(Arc::new(move |credentials| check(credentials).map(Login::from).boxed())),
            key: random(),
        }
    }

    pub(super) fn password(username: String, password: String) -> Self {
        let key = key_of(&username, &password);
        let check = move |given: Credentials| {
            let is_it = same(&given.username, &username) & same(&given.password, &password);
            std::future::ready(is_it)
        };
        Self {
            key,
            ..Self::checked(check)
        }
    }

    pub(super) fn bcrypt(username: String, hash: String) -> Result<Self, bcrypt::BcryptError> {
        hash.parse::<bcrypt::HashParts>()?;
        let key = key_of(&username, &hash);
        let (turn, waiting) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(MAX_WAITING)));
        let check = move |given: Credentials| {
            let is_name = same(&given.username, &username);
            let (hash, turn, waiting) = (hash.clone(), turn.clone(), waiting.clone());
            async move {
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
            }
        };
        Ok(Self {
            check: Some(Arc::new(move |credentials| check(credentials).boxed())),
            key,
        })
    }

    pub(super) async fn login(&self, credentials: Credentials) -> Login {
        let Some(check) = &self.check else {
            return Login::Accepted;
        };
        if self.is_token(&credentials.token, now()) {
            return Login::Again;
        }
        check(credentials).await
    }

    /// Makes a token that is accepted for a time; `None` if nobody needs one.
    pub(super) fn token(&self, duration: Duration) -> Option<String> {
        self.check.as_ref()?;
        let seconds = duration
            .as_secs()
            .saturating_add(u64::from(duration.subsec_nanos() > 0));
        (seconds > 0).then(|| self.token_until(now().saturating_add(seconds)))
    }

    fn token_until(&self, end: u64) -> String {
        let signature = self.mac(end).finalize().into_bytes();
        format!("{end:x}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn is_token(&self, token: &str, now: u64) -> bool {
        let Some((end, signature)) = token.split_once('.') else {
            return false;
        };
        let (Ok(end), Ok(signature)) = (u64::from_str_radix(end, 16), URL_SAFE_NO_PAD.decode(signature)) else {
            return false;
        };
        now < end && self.mac(end).verify_slice(&signature).is_ok()
    }

    fn mac(&self, end: u64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(&end.to_be_bytes());
        mac
    }
}

/// Derives the key of tokens from what only administrators know.
fn key_of(username: &str, secret: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(b"sessions of socket-io's administrators\0");
    mac.update(username.as_bytes());
    mac.finalize().into_bytes().into()
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
mod tests {
    use super::*;

    fn says(username: &str, password: &str, token: &str) -> Credentials {
        Credentials {
            username: username.into(),
            password: password.into(),
            token: token.into(),
        }
    }

    #[tokio::test]
    async fn name_and_password_must_both_be_right() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let bcrypt = Auth::bcrypt("admin".into(), hash).unwrap();
        for auth in [Auth::password("admin".into(), "secret".into()), bcrypt] {
            assert_eq!(auth.login(says("admin", "secret", "")).await, Login::Accepted);
            for (name, password) in [("admin", "Secret"), ("root", "secret"), ("", ""), ("admin", "")] {
                assert_eq!(auth.login(says(name, password, "")).await, Login::Refused);
            }
        }
        assert!(Auth::bcrypt("admin".into(), "secret".into()).is_err());
    }

    #[tokio::test]
    async fn a_token_is_accepted_until_its_end_by_servers_with_the_same_password() {
        let (one, other) = (
            Auth::password("admin".into(), "secret".into()),
            Auth::password("admin".into(), "secret".into()),
        );
        let token = one.token(Duration::from_secs(60)).unwrap();
        assert_eq!(other.login(says("", "", &token)).await, Login::Again);
        let changed = Auth::password("admin".into(), "another".into());
        assert_eq!(changed.login(says("", "", &token)).await, Login::Refused);
        assert!(!one.is_token(&one.token_until(7), 7) && one.is_token(&one.token_until(7), 6));
        let end = token.split_once('.').unwrap().0;
        let longer = token.replacen(end, "ffffffffff", 1);
        for forged in ["", ".", "1.", "ffffffffff.AAAA", &longer] {
            assert_eq!(one.login(says("", "", forged)).await, Login::Refused, "{forged}");
        }
        assert_eq!(one.token(Duration::ZERO), None);
        for duration in [Duration::from_millis(1), Duration::MAX] {
            let token = one.token(duration).unwrap();
            assert!(one.is_token(&token, now() - 1), "{duration:?}");
        }
    }

    #[tokio::test]
    async fn those_whose_password_is_not_looked_at_are_not_told_that_it_is_wrong() {
        let auth = Auth::bcrypt("admin".into(), bcrypt::hash("secret", 4).unwrap()).unwrap();
        let all = (0..=MAX_WAITING).map(|_| auth.login(says("admin", "guess", "")));
        let mut outcomes = futures_util::future::join_all(all).await;
        assert_eq!(outcomes.pop(), Some(Login::Busy));
        assert!(outcomes.iter().all(|outcome| *outcome == Login::Refused));
        let nothing = auth.login(Credentials::default()).await;
        assert_eq!(nothing, Login::Refused, "without looking");
    }

    #[test]
    fn what_the_page_does_not_know_is_null() {
        let said: Credentials = serde_json::from_str(r#"{"sessionId":null}"#).unwrap();
        assert_eq!((said.username, said.token), (String::new(), String::new()));
    }
}
