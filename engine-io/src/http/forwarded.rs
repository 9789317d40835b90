//! Proxies that are trusted to name the address of a client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::request::Parts;

use crate::config::ConfigError;
use crate::http::handshake::PeerAddr;

/// The header that proxies append the address of their client to.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose `X-Forwarded-For` names the address of a client.
///
/// Without them the address of a client behind a proxy is the proxy's, and all clients share its
/// limits. Only name proxies that set or extend the header themselves: what a client wrote before
/// them is not used, because the header is read from its end, up to the first address that is not
/// a trusted proxy's.
///
/// ```
/// use engine_io::Config;
/// use engine_io::config::TrustedProxies;
///
/// let trusted_proxies = TrustedProxies::of(["127.0.0.1", "10.0.0.0/8", "unix"])?;
/// let config = Config { trusted_proxies, ..Config::default() };
/// # config.validate()?;
/// # Ok::<(), engine_io::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Addresses of the proxies.
    networks: Vec<Network>,
    /// Connections without an address are trusted: those on Unix sockets.
    unix: bool,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    /// The first address.
    address: IpAddr,
    /// The bits that all have in common.
    prefix: u32,
}

impl TrustedProxies {
    /// Reads addresses (`127.0.0.1`, `::1`), networks (`10.0.0.0/8`), and `unix` for connections
    /// without an address.
    ///
    /// # Errors
    /// If an entry is none of these.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let mut trusted = Self::default();
        for entry in entries {
            if entry == "unix" {
                trusted.unix = true;
                continue;
            }
            let network = Network::parse(entry).ok_or_else(|| {
                ConfigError::new(format!(
                    "{entry:?} is not a proxy: expected an address, a network such as 10.0.0.0/8, or unix"
                ))
            })?;
            trusted.networks.push(network);
        }
        Ok(trusted)
    }

    /// Puts the address of the client in the place of a trusted proxy's.
    pub(crate) fn resolve(&self, parts: &mut Parts) {
        if self.networks.is_empty() && !self.unix {
            return;
        }
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0);
        let client = self.client(peer, parts);
        if let Some(client) = client.filter(|_| client != peer) {
            parts.extensions.insert(PeerAddr(client));
        }
    }

    /// Returns the address of the client: of the last entry that is not a trusted proxy's.
    fn client(&self, peer: Option<SocketAddr>, parts: &Parts) -> Option<SocketAddr> {
        if !peer.map_or(self.unix, |peer| self.contains(peer.ip())) {
            return peer;
        }
        let lines = parts.headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        let mut client = peer;
        for entry in entries {
            // What stands before an unreadable entry was not written by a proxy that is known.
            let Some(address) = address(entry.trim()) else { break };
            client = Some(address);
            if !self.contains(address.ip()) {
                break;
            }
        }
        client
    }

    /// Returns whether an address is a proxy's.
    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
    }
}

impl Network {
    /// Reads an address or a network.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Returns whether an address is one of its own.
    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - self.prefix).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - self.prefix).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// Reads an entry of the header: an address, perhaps with a port; 0 stands for one that is not known.
fn address(entry: &str) -> Option<SocketAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 0));
    address.or_else(|| entry.parse().ok())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn client(trusted: &[&str], peer: Option<&str>, forwarded: &[&str]) -> Option<String> {
        let mut request = Request::builder();
        for line in forwarded {
            request = request.header(FORWARDED_FOR, *line);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(peer) = peer {
            parts.extensions.insert(PeerAddr(peer.parse().unwrap()));
        }
        let trusted = TrustedProxies::of(trusted.iter().copied()).unwrap();
        trusted.resolve(&mut parts);
        parts.extensions.get::<PeerAddr>().map(|peer| peer.0.to_string())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        let proxy = Some("10.0.0.1:4000");
        assert_eq!(client(&[], proxy, &["192.0.2.1"]), some("10.0.0.1:4000"));
        assert_eq!(client(&["10.0.0.2"], proxy, &["192.0.2.1"]), some("10.0.0.1:4000"));
        assert_eq!(client(&["10.0.0.0/8"], proxy, &["192.0.2.1"]), some("192.0.2.1:0"));
        assert_eq!(client(&["10.0.0.0/8"], proxy, &[]), some("10.0.0.1:4000"));
        assert_eq!(client(&["unix"], None, &["2001:db8::1"]), some("[2001:db8::1]:0"));
        assert_eq!(client(&["10.0.0.1"], None, &["192.0.2.1"]), None);
    }

    #[test]
    fn what_a_client_claims_in_front_of_the_proxies_is_not_used() {
        let proxy = Some("10.0.0.1:4000");
        let lines = ["203.0.113.9, 192.0.2.1", "10.0.0.7"];
        assert_eq!(client(&["10.0.0.0/8"], proxy, &lines), some("192.0.2.1:0"));
        assert_eq!(client(&["10.0.0.1"], proxy, &lines), some("10.0.0.7:0"));
        let claimed = ["203.0.113.9, not an address, 10.0.0.7"];
        assert_eq!(client(&["10.0.0.0/8"], proxy, &claimed), some("10.0.0.7:0"));
        assert_eq!(client(&["10.0.0.0/8"], proxy, &["192.0.2.1:55"]), some("192.0.2.1:55"));
        assert_eq!(
            client(&["10.0.0.0/8"], proxy, &["[2001:db8::2]:55"]),
            some("[2001:db8::2]:55")
        );
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for entry in ["", "proxy", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(TrustedProxies::of([entry]).is_err(), "{entry}");
        }
        assert!(client(&["0.0.0.0/0"], Some("203.0.113.1:1"), &["192.0.2.1"]).is_some());
        assert!(client(&["::/0"], Some("[2001:db8::1]:1"), &["192.0.2.1"]).is_some());
    }
}
