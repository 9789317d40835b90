//! The redirections of Redis Cluster: what a node answers to a command whose slot is not its own.

use manager_api::backend::url::Address;
use redis::RedisError;

/// The redirections that one command follows.
pub(crate) const MAX_REDIRECTIONS: u8 = 5;

/// A node's answer that another one is to be asked, or the same later. Nothing was executed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Redirection {
    /// The slot belongs to this node.
    Moved { slot: u16, to: Address },
    /// The slot is moving to this node, which takes this one command already.
    Ask { to: Address },
    /// No node serves the slot now.
    Later,
}

impl Redirection {
    /// Reads an error reply of the server at `address`; `None` if it is another error.
    pub(crate) fn of(error: &RedisError, address: &str) -> Option<Self> {
        let detail = error.detail().unwrap_or_default();
        match error.code()? {
            "MOVED" => {
                let (slot, to) = detail.split_once(' ')?;
                let (slot, to) = (slot.parse().ok()?, target(to, address)?);
                Some(Self::Moved { slot, to })
            }
            "ASK" => {
                let (_, to) = detail.split_once(' ')?;
                Some(Self::Ask {
                    to: target(to, address)?,
                })
            }
            "TRYAGAIN" | "CLUSTERDOWN" => Some(Self::Later),
            _ => None,
        }
    }
}

/// Reads `host:port`; an empty host is that of the server at `address`, which named it.
pub(crate) fn target(text: &str, address: &str) -> Option<Address> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let (own, _) = address.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" { own } else { host };
    Some(Address {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp;

    fn read(reply: &str) -> Option<Redirection> {
        Redirection::of(&resp::error(reply.as_bytes()), "[::1]:7000")
    }

    #[test]
    fn the_node_that_is_named_is_read() {
        let to = |host: &str, port| Address {
            host: host.to_owned(),
            port,
        };
        for (reply, expected) in [
            (
                "-MOVED 3999 127.0.0.1:6381\r\n",
                Some(Redirection::Moved {
                    slot: 3999,
                    to: to("127.0.0.1", 6381),
                }),
            ),
            (
                "-MOVED 1 fe80::2:6381\r\n",
                Some(Redirection::Moved {
                    slot: 1,
                    to: to("fe80::2", 6381),
                }),
            ),
            (
                "-MOVED 1 :7001\r\n",
                Some(Redirection::Moved {
                    slot: 1,
                    to: to("::1", 7001),
                }),
            ),
            ("-ASK 1 h:2\r\n", Some(Redirection::Ask { to: to("h", 2) })),
            ("-CLUSTERDOWN Hash slot not served\r\n", Some(Redirection::Later)),
            ("-TRYAGAIN later\r\n", Some(Redirection::Later)),
            ("-MOVED 99999999 h:2\r\n", None),
            ("-MOVED 1 h:port\r\n", None),
            ("-MOVED\r\n", None),
            ("-NOPERM no\r\n", None),
        ] {
            assert_eq!(read(reply), expected, "{reply}");
        }
    }
}
