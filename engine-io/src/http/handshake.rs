//! The handshake: the facts of the request that opened a session.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::SystemTime;

use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

/// The address of a client; the server that accepts the connection inserts it into the extensions
/// of its requests.
///
/// ```
/// use std::net::SocketAddr;
///
/// use engine_io::http::PeerAddr;
///
/// fn mark<B>(request: &mut http::Request<B>, peer: SocketAddr) {
///     request.extensions_mut().insert(PeerAddr(peer));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// What limits by address count as one client: an address of IPv4, or a network of 64 bits of IPv6,
/// because a host has a whole network of those. IPv4 mapped into IPv6 is IPv4.
///
/// ```
/// use engine_io::http::PeerNetwork;
///
/// # fn main() -> Result<(), std::net::AddrParseError> {
/// assert_eq!(PeerNetwork::of("2001:db8::7:1".parse()?), PeerNetwork::of("2001:db8::8:2".parse()?));
/// assert_eq!(PeerNetwork::of("::ffff:192.0.2.1".parse()?), PeerNetwork::of("192.0.2.1".parse()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerNetwork(IpAddr);

impl PeerNetwork {
    /// Returns the network that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            address => address,
        })
    }
}

/// Marks a request that came over TLS; the server that accepts the connection inserts it into the
/// extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secure;

/// The facts of the request that opened a session.
///
/// Path, query and headers are copied into one small allocation; nothing of the request itself
/// stays alive.
pub struct Handshake {
    /// When the request was handled.
    time: SystemTime,
    /// The address of the client.
    peer: Option<SocketAddr>,
    /// The request came over TLS.
    secure: bool,
    /// The length of the path, with which the copy begins.
    path_len: u32,
    /// The length of path and query.
    target_len: u32,
    // The target, then each header as name length, value length (both u32 little-endian), name,
    // value.
    copy: Box<[u8]>,
    /// The extensions of the request that are not used here.
    extensions: Extensions,
}

impl Handshake {
    /// Copies the facts out of the head of a request.
    pub(crate) fn new(parts: &mut Parts) -> Self {
        let mut extensions = std::mem::take(&mut parts.extensions);
        extensions.remove::<hyper::upgrade::OnUpgrade>();
        let peer = extensions.remove::<PeerAddr>().map(|peer| peer.0);
        let secure = extensions.remove::<Secure>().is_some() || parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        if extensions.is_empty() {
            // An emptied map keeps its table.
            extensions = Extensions::new();
        }
        let (copy, path_len, target_len) = copy_head(parts);
        Self {
            time: SystemTime::now(),
            peer,
            secure,
            path_len,
            target_len,
            copy,
            extensions,
        }
    }

    /// Returns when the request was handled.
    pub fn time(&self) -> SystemTime {
        self.time
    }

    /// Returns the path of the request.
    pub fn path(&self) -> &str {
        text(&self.copy[..self.path_len as usize])
    }

    /// Returns the query of the request, without its question mark, still percent-encoded; empty if
    /// there is none.
    pub fn query(&self) -> &str {
        text(&self.copy[self.path_len as usize..self.target_len as usize]).trim_start_matches('?')
    }

    /// Returns path and query as they were requested.
    pub fn path_and_query(&self) -> &str {
        text(&self.copy[..self.target_len as usize])
    }

    /// Returns the first value of a header, if there is one and it is text; the case of `name` does
    /// not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .raw_headers()
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(value).ok()
    }

    /// Returns all headers, decoded on each call.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.raw_headers() {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }

    /// Returns the address of the client, if the server that accepted the connection
    /// inserted a [`PeerAddr`].
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Returns whether the request came over TLS: it was marked [`Secure`], or its URI says `https`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the other extensions of the request.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns names and values of the headers in the copy.
    fn raw_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.copy[self.target_len as usize..];
        std::iter::from_fn(move || {
            let (lengths, tail) = rest.split_at_checked(8)?;
            let length = |at: usize| u32::from_le_bytes(lengths[at..at + 4].try_into().expect("four bytes")) as usize;
            let (name, tail) = tail.split_at(length(0));
            let (value, tail) = tail.split_at(length(4));
            rest = tail;
            Some((name, value))
        })
    }
}

impl fmt::Debug for Handshake {
    // Headers and query may carry credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.path())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Copies target and headers; returns the copy, the length of the path, and that of the target.
fn copy_head(parts: &Parts) -> (Box<[u8]>, u32, u32) {
    let path = parts.uri.path();
    let query = parts.uri.query();
    let target_len = path.len() + query.map_or(0, |query| query.len() + 1);
    let headers: usize = parts
        .headers
        .iter()
        .map(|(name, value)| 8 + name.as_str().len() + value.len())
        .sum();
    let mut copy = Vec::with_capacity(target_len + headers);
    copy.extend_from_slice(path.as_bytes());
    if let Some(query) = query {
        copy.push(b'?');
        copy.extend_from_slice(query.as_bytes());
    }
    for (name, value) in &parts.headers {
        copy.extend_from_slice(&(name.as_str().len() as u32).to_le_bytes());
        copy.extend_from_slice(&(value.len() as u32).to_le_bytes());
        copy.extend_from_slice(name.as_str().as_bytes());
        copy.extend_from_slice(value.as_bytes());
    }
    (copy.into_boxed_slice(), path.len() as u32, target_len as u32)
}

/// Reads a part of the copy that was text.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("copied from a string")
}
