//! Connects and refreshes: a client shows its token, and gets what the token grants.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use manager_api::Room;
use manager_api::log::{LimitedLog, cut, quietly};
use serde::{Deserialize, Serialize};
use serde_json::json;
use socket_io::extract::Rejection;
use socket_io::handler::{Ack, Handlers};
use socket_io::{Auth, Data, Refusal, Socket};

use super::Access;
use super::expiry::{Expiries, Place};
use super::fault::TokenFault;
use super::grants::Grants;
use super::verify::Verified;

/// The code of a refusal for its token, the same for everything that may be wrong with it.
const UNAUTHORIZED: &str = "unauthorized";
/// The code of a refusal without a look at the token, because too many of its address were refused.
const TOO_MANY: &str = "too_many_attempts";

/// Refused tokens in a row with which a connected client may try others although too many of its address were refused.
const MAX_REFUSED_REFRESHES: u32 = 5;

/// What a client is known by while it is connected. Kept as its session, so that it is dropped with
/// the client.
pub(super) struct Ticket {
    grants: Grants,
    /// Its place among those that expire.
    place: Option<Place>,
    expiries: Arc<Expiries>,
    /// Tokens of this client that were refused since it connected, or last refreshed.
    num_refused: AtomicU32,
}

impl Ticket {
    /// Returns what the token allows.
    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Takes the client out of those that expire: it has another ticket.
    fn cancel(&self) {
        if let Some(place) = &self.place {
            self.expiries.remove(place);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The `auth` of a client, as far as it matters here.
#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    token: Option<String>,
}

/// The argument of the event that refreshes a token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Refresh {
    Token(String),
    Object { token: String },
}

/// The acknowledgement of a refresh.
#[derive(Serialize)]
struct Refreshed {
    ok: bool,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl Access {
    /// Lets only clients with a good token connect to a namespace, and registers the event by which
    /// they hand in a new one.
    ///
    /// # Behaviour
    ///
    /// The token is `auth.token`, otherwise the parameter of the query. A client without a good one
    /// gets a `connect_error` with the data `{"code": "unauthorized"}`; where too many of its
    /// address were refused, `{"code": "too_many_attempts"}`, and its token is not looked at.
    /// Neither says what is wrong with it. This comes before other middleware that is registered
    /// later, and before the connect handler, which may refuse on top.
    ///
    /// A client is disconnected within a second after its token has expired, with an event
    /// `expired` before. Until then it may [refresh](super::AccessConfig::refresh_event) with a
    /// token of the same subject, alone or as `{"token": …}`. The acknowledgement is `{"ok": true,
    /// "expires": …}`, or `{"ok": false, "code": "unauthorized"}`, and what was stays. After a
    /// refresh the client leaves rooms that the old token allowed it to join and the new one does
    /// not, and enters those that the new one names.
    ///
    /// # Panics
    ///
    /// In the namespace of the administrators, as every registration does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use gateway::access::{Access, AccessConfig, Key};
    /// # use socket_io::SocketIo;
    /// # fn example() -> Result<(), gateway::access::KeyError> {
    /// # let keys = Key::secret("a secret that has at least 32 bytes")?.into();
    /// let access = Access::new(&keys, AccessConfig::default())?;
    /// let io = SocketIo::new();
    /// // Every namespace, also those that clients ask for.
    /// access.protect(&io.any_namespace());
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    pub fn protect(&self, handlers: &Handlers) -> &Self {
        let access = self.clone();
        handlers.use_connect(
            move |socket: Socket, auth: Result<Auth<Option<Credentials>>, Rejection>| {
                let admitted = access.connect(&socket, auth.ok().and_then(|Auth(auth)| auth));
                std::future::ready(admitted)
            },
        );
        let access = self.clone();
        let event = self.refresh_event();
        handlers.on(event, move |socket: Socket, data: Result<Data<Refresh>, Rejection>| {
            std::future::ready(Ack(access.refresh(&socket, data.ok())))
        });
        self
    }

    /// Decides about a client that wants to connect. What is refused is counted for its address.
    fn connect(&self, socket: &Socket, credentials: Option<Credentials>) -> Result<(), Refusal> {
        let peer = peer(socket);
        if !self.inner.attempts.are_left(peer) {
            self.inner.counts.limited();
            return Err(refusal(TOO_MANY));
        }
        let given = credentials.and_then(|credentials| credentials.token);
        let token = given.or_else(|| self.token_of_query(socket.handshake().query()));
        let verified = self.check(socket, token.as_deref());
        match verified.and_then(|verified| self.enter(socket, &verified.grants, None)) {
            Ok(()) => {
                self.inner.counts.accepted();
                Ok(())
            }
            Err(fault) => {
                self.refused(socket, peer, &fault);
                Err(refusal(UNAUTHORIZED))
            }
        }
    }

    /// Decides about a new token of a client, and returns the acknowledgement.
    fn refresh(&self, socket: &Socket, data: Option<Data<Refresh>>) -> Refreshed {
        let peer = peer(socket);
        // A client with a good token is not judged by its neighbours, as long as its own tokens are good.
        let ticket = socket.get_session::<Ticket>();
        let num_refused = ticket.map_or(0, |ticket| ticket.num_refused.fetch_add(1, Ordering::Relaxed));
        if num_refused >= MAX_REFUSED_REFRESHES && !self.inner.attempts.are_left(peer) {
            self.inner.counts.limited();
            return Refreshed::failed(TOO_MANY);
        }
        let token = data.map(|Data(Refresh::Token(token) | Refresh::Object { token })| token);
        match self.renewed(socket, token.as_deref()) {
            Ok(grants) => {
                self.inner.counts.refreshed();
                Refreshed::until(grants.expires())
            }
            Err(fault) => {
                self.refused(socket, peer, &fault);
                Refreshed::failed(UNAUTHORIZED)
            }
        }
    }

    /// Exchanges the token of a client. If the new one is refused, the client keeps what it had.
    fn renewed(&self, socket: &Socket, token: Option<&str>) -> Result<Grants, TokenFault> {
        let verified = self.check(socket, token)?;
        let old = socket.get_session::<Ticket>().ok_or(TokenFault::Missing)?;
        if old.grants.subject() != verified.grants.subject() {
            return Err(TokenFault::Subject);
        }
        self.enter(socket, &verified.grants, Some(&old))?;
        let is_lost = |room: &Room| old.grants.may_join(room.as_str()) && !verified.grants.may_join(room.as_str());
        // Its own room, by which others reach it, is the first.
        for room in socket.rooms().into_iter().skip(1).filter(is_lost) {
            // Fails only if the client is gone.
            let _ = socket.leave(room);
        }
        Ok(verified.grants)
    }

    /// Checks a token, and whether it is for the namespace of the client.
    fn check(&self, socket: &Socket, token: Option<&str>) -> Result<Verified, TokenFault> {
        let verified = self.verifier().verify(token.ok_or(TokenFault::Missing)?)?;
        match verified.grants.is_for(socket.namespace()) {
            true => Ok(verified),
            false => Err(TokenFault::Namespace),
        }
    }

    /// Gives the client its ticket, and puts it into its rooms.
    fn enter(&self, socket: &Socket, grants: &Grants, old: Option<&Ticket>) -> Result<(), TokenFault> {
        let beyond = |_| TokenFault::Claim {
            name: "enter",
            problem: "the client cannot enter so many rooms, or is gone",
        };
        for room in grants.enter() {
            socket.join(room).map_err(beyond)?;
        }
        if let Some(subject) = grants.subject().filter(|_| self.verifier().config().shows_subject) {
            // Too long a subject is not shown; it stays the client's.
            let _ = socket.set_data(&json!({ "sub": subject }));
        }
        let expiries = self.inner.expiries.clone();
        let place = grants.expires().map(|at| expiries.add(socket, self.closed_at(at)));
        // Dropped here if the client is gone, and takes itself out.
        let ticket = Ticket {
            grants: grants.clone(),
            place,
            expiries,
            num_refused: AtomicU32::new(0),
        };
        if let Some(old) = old {
            // Others may hold it for a while longer.
            old.cancel();
        }
        socket.save_session(ticket).map_err(beyond)
    }

    /// Returns when a client is closed: when its token expires, or after the leeway if it came with
    /// a token that had expired just before.
    fn closed_at(&self, expires: SystemTime) -> SystemTime {
        match expires > SystemTime::now() {
            true => expires,
            false => expires + self.verifier().config().leeway,
        }
    }

    /// Counts a refusal, and logs its reason for the operator: one line a second, with the reason as a
    /// word and nothing of the token.
    fn refused(&self, socket: &Socket, peer: Option<IpAddr>, fault: &TokenFault) {
        static REFUSED: LimitedLog = LimitedLog::new();
        self.inner.attempts.refused(peer);
        self.inner.counts.refused();
        if let Some(suppressed) = REFUSED.pass() {
            let (sid, namespace) = (socket.id(), cut(socket.namespace().as_str()));
            // The reason, and nothing of the token.
            let reason = fault.code();
            quietly(
                || tracing::info!(target: "gateway", %sid, namespace, ?peer, reason, suppressed, "a token is refused"),
            );
        }
    }

    /// Finds the token in a query.
    fn token_of_query(&self, query: &str) -> Option<String> {
        let verifier = self.verifier();
        let name = verifier.config().query_parameter.as_deref()?;
        // A name that stands there twice has no value that counts.
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
        let mut values = pairs.into_iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value);
        value.filter(|_| values.next().is_none())
    }
}

impl Refreshed {
    /// Makes the acknowledgement of a token that was taken.
    fn until(expires: Option<SystemTime>) -> Self {
        let expires = expires.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self {
            ok: true,
            expires: expires.map(|at| at.as_secs()),
            code: None,
        }
    }

    /// Makes the acknowledgement of a token that was refused.
    fn failed(code: &'static str) -> Self {
        Self {
            ok: false,
            expires: None,
            code: Some(code),
        }
    }
}

/// Returns the address of the client; `None` if the host framework does not provide it.
fn peer(socket: &Socket) -> Option<IpAddr> {
    socket.handshake().peer_addr().map(|address| address.ip())
}

/// Makes the refusal that a client sees as its `connect_error`.
fn refusal(code: &'static str) -> Refusal {
    Refusal::new(code).with_data(&json!({ "code": code }))
}

#[cfg(test)]
mod tests;
