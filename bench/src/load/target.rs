//! The address of the server under test.

use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, bail};

/// Where a server under test listens, and under which path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The socket address to connect to.
    pub address: SocketAddr,
    /// The path of the Socket.IO endpoint, `/socket.io/` by default.
    pub path: String,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    /// Parses `http://ADDRESS:PORT[/PATH/]`; the address is a number, so that no look-up is measured.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix("http://") else {
            bail!("{text:?} does not begin with http://");
        };
        let (address, path) = match rest.split_once('/') {
            Some((address, path)) if !path.is_empty() => (address, format!("/{path}")),
            Some((address, _)) => (address, "/socket.io/".to_owned()),
            None => (rest, "/socket.io/".to_owned()),
        };
        let address = address
            .parse()
            .with_context(|| format!("{address:?} is not an address and a port"))?;
        Ok(Self { address, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_usual_path_unless_another_is_given() {
        let usual: Target = "http://127.0.0.1:3000".parse().expect("a target");
        assert_eq!(usual.path, "/socket.io/");
        let other: Target = "http://[::1]:3000/chat/".parse().expect("a target");
        assert_eq!((other.address.port(), other.path.as_str()), (3000, "/chat/"));
    }

    #[test]
    fn a_target_without_scheme_or_with_a_name_is_refused() {
        assert!("127.0.0.1:3000".parse::<Target>().is_err());
        assert!("http://localhost:3000".parse::<Target>().is_err());
    }
}
