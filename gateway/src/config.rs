//! The configuration of the ready-made server: settings from flags, the environment and a file.
//!
//! A flag outranks a variable of the environment, which outranks the file, which outranks the default. [`SETTINGS`] lists every setting with all its
//! names; `docs/configuration.md` is made of it.
//!
//! Reading is strict: a key that is not known, a value of another kind or a secret that is given twice is a [`Problem`] with its place, and all of
//! them are told at once. A value may be written as its kind or as text: `rooms = 8` and `rooms = "8"` mean the same.
//!
//! ```
//! use gateway::config::{Setting, Sources};
//!
//! let sources = Sources { env: vec![("SIO_LIMITS_PAYLOAD".into(), "64KiB".into())], ..Sources::default() };
//! let loaded = sources.load()?;
//! assert_eq!(loaded.config.max_payload.0, 65_536);
//! assert_eq!(loaded.places["limits.payload"], "SIO_LIMITS_PAYLOAD");
//! assert_eq!(Setting::of("limits.payload").unwrap().variable(), "SIO_LIMITS_PAYLOAD");
//! # Ok::<(), gateway::config::Problems>(())
//! ```

mod doc;
mod file;
mod load;
mod problem;
mod relay;
mod value;
mod wire;

use std::time::Duration;

use node_wire::SubscriptionMode;

use crate::listen::Address;
use value::{Raw, Value};

pub use doc::{defaults, table};
pub use load::{FILE_VARIABLE, Loaded, Sources};
pub use problem::{Problem, Problems};
pub use relay::RelayValue;
pub use value::{ByteSize, LogLevel, Secret};
pub use wire::WireName;

/// A setting and its names.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// The key in the file; dots separate tables.
    pub key: &'static str,
    /// The flag of the command line without its hyphens; empty if there is none, as for secrets, which other users would see.
    pub flag: &'static str,
    /// The kind of its values, in a word or two.
    pub kind: &'static str,
    /// Whether it takes several values.
    pub is_list: bool,
    /// Whether it is on or off, and its flag needs no value.
    pub is_switch: bool,
    /// Whether a running server takes a new value over, at SIGHUP.
    pub reloads: bool,
    /// Whether it is never shown, and may also come from a file of its own.
    pub is_secret: bool,
    /// Whether it may have several lines, as keys have.
    pub has_lines: bool,
    /// Whether it names a file or folder: in the file of settings a relative name starts from the folder of that file.
    pub is_path: bool,
    help: &'static [&'static str],
}

impl Setting {
    /// Returns the setting with a key.
    pub fn of(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Returns its variable of the environment. A secret may also stand in the file that the same name with `_FILE` names.
    pub fn variable(&self) -> String {
        format!("SIO_{}", self.key.to_uppercase().replace('.', "_"))
    }

    /// Returns what it means, in a sentence or more.
    pub fn help(&self) -> String {
        let lines: Vec<_> = self.help.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }

    /// Returns its default as the file would write it; empty if it has none.
    pub fn default(&self) -> String {
        Config::default().shown(self.key).unwrap_or_default()
    }
}

/// How a setting is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Reloads,
    Secret,
    Lines,
    Path,
}

/// Tells whether a mark is among others.
const fn has(marks: &[Mark], wanted: Mark) -> bool {
    let mut at = 0;
    while at < marks.len() {
        if marks[at] as u8 == wanted as u8 {
            return true;
        }
        at += 1;
    }
    false
}

/// Declares the settings: the struct with its defaults, the table, and access by key.
macro_rules! settings {
    ($( $(#[doc = $help:literal])+ $key:literal $flag:literal $field:ident: $kind:ty = $default:expr, [$($mark:ident)*]; )*) => {
        /// The settings of the ready-made server.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::exhaustive_structs, reason = "it is written with `..Config::default()`")]
        pub struct Config {
            $( $(#[doc = $help])+ pub $field: $kind, )*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        /// All settings, in the order of the documentation.
        pub static SETTINGS: &[Setting] = &[
            $( Setting {
                key: $key,
                flag: $flag,
                kind: <$kind as Value>::KIND,
                is_list: <$kind as Value>::IS_LIST,
                is_switch: <$kind as Value>::IS_SWITCH,
                reloads: has(&[$(Mark::$mark),*], Mark::Reloads),
                is_secret: has(&[$(Mark::$mark),*], Mark::Secret),
                has_lines: has(&[$(Mark::$mark),*], Mark::Lines),
                is_path: has(&[$(Mark::$mark),*], Mark::Path),
                help: &[$($help),+],
            }, )*
        ];

        impl Config {
            /// Sets the value of a key.
            fn set(&mut self, key: &str, raw: &Raw) -> Result<(), String> {
                match key {
                    $( $key => self.$field = Value::read(raw)?, )*
                    _ => return Err("unknown key".to_owned()),
                }
                Ok(())
            }

            /// Returns the value of a key as the file would write it, a secret as `"…"`; `None` if it has none, or the key is unknown.
            pub fn shown(&self, key: &str) -> Option<String> {
                match key {
                    $( $key => self.$field.show(), )*
                    _ => None,
                }
            }

            /// Returns the settings whose values differ.
            pub fn differences(&self, other: &Self) -> Vec<&'static Setting> {
                let is_different = |setting: &&Setting| match setting.key {
                    $( $key => self.$field != other.$field, )*
                    _ => false,
                };
                SETTINGS.iter().filter(is_different).collect()
            }
        }
    };
}

settings! {
    /// The address to serve HTTP on: HOST:PORT, a port of 127.0.0.1, or unix:/PATH of a socket.
    "listen" "listen" listen: Address = Address::local(3000), [];
    /// The broker's URL. Without it an embedded broker for this machine is started on 127.0.0.1:7379. Other users see the flag in `ps`.
    "url" "url" url: Option<Secret> = None, [Secret];
    /// The channel that servers and emitters share.
    "channel" "channel" channel: String = "socketio".to_owned(), [];
    /// How the other servers write their messages: python for this project and python-socketio; node-classic, node-sharded, node-streams, node-streams-0.2 or node-postgres for servers on Node, by their adapter.
    "wire" "wire" wire: WireName = WireName::Python, [];
    /// With a wire of Node: the prefix of the adapter's channels, its option `key` or `channelPrefix`. The adapters have socket.io.
    "wire_prefix" "wire-prefix" wire_prefix: Option<String> = None, [];
    /// With node-streams: the name of the stream, `streamName`. The adapters have socket.io.
    "wire_stream" "wire-stream" wire_stream: Option<String> = None, [];
    /// With node-streams: the number of streams, `streamCount`. The adapters have 1.
    "wire_stream_count" "wire-stream-count" wire_stream_count: Option<u32> = None, [];
    /// With node-streams: the servers have the option `useShardedPubSub`.
    "wire_sharded_pub_sub" "wire-sharded-pub-sub" wire_sharded_pub_sub: bool = false, [];
    /// With node-sharded: which rooms have channels of their own, `subscriptionMode`: static, dynamic or dynamic-private. The adapter has dynamic.
    "wire_subscription_mode" "wire-subscription-mode" wire_subscription_mode: Option<SubscriptionMode> = None, [];
    /// With node-postgres: the table of attachments, `tableName`. The adapter has socket_io_attachments.
    "wire_table" "wire-table" wire_table: Option<String> = None, [];
    /// Anybody may join any room. Needed on an address that is not of this machine alone, unless there are keys for tokens.
    "open" "open" open: bool = false, [];
    /// With open access: clients may also emit events into rooms. Without a value: only on an address of this machine.
    "publish" "publish" publish: Option<bool> = None, [];
    /// Further namespaces with rooms to join, beside `/`.
    "namespaces" "namespace" namespaces: Vec<String> = Vec::new(), [];
    /// Further origins whose pages may connect, such as `https://app.example`; `*` for all. The server's own page always may.
    "origins" "origin" origins: Vec<String> = Vec::new(), [Reloads];
    /// The path of Socket.IO.
    "path" "path" path: String = "/socket.io/".to_owned(), [];
    /// The transports that are offered.
    "transports" "transport" transports: Vec<String> = vec!["polling".to_owned(), "websocket".to_owned()], [];
    /// A folder whose files are served beside Socket.IO.
    "static" "static" static_files: Option<String> = None, [Path];
    /// Whether there is a page for people at `/`.
    "page" "page" page: bool = true, [];
    /// Proxies whose X-Forwarded-For names the client's address: addresses, networks such as 10.0.0.0/8, and `unix` for Unix sockets.
    "proxies" "proxy" proxies: Vec<String> = Vec::new(), [];
    /// At SIGTERM: the time over which the ends of connections are spread, so that clients do not come back all at once.
    "drain" "drain" drain: Duration = Duration::from_secs(20), [Reloads];
    /// How much is logged on standard error: error, warn, info, debug or trace. -q, -v and RUST_LOG outrank it.
    "log.level" "log-level" log_level: LogLevel = LogLevel::Warn, [Reloads];
    /// A file with the certificate for TLS and those above it, in PEM. It is read again when it changes, and at SIGHUP.
    "tls.cert" "tls-cert" tls_cert: Option<String> = None, [Path];
    /// The file with its private key, in PEM.
    "tls.key" "tls-key" tls_key: Option<String> = None, [Path];
    /// The address of metrics and health, for operators alone: HOST:PORT, or a port of 127.0.0.1. Without it there is none.
    "admin.listen" "admin-listen" admin_listen: Option<Address> = None, [];
    /// The key that tokens of clients are checked with: a secret of at least 32 bytes, a public key in PEM, or a JWK set. With a key, each client needs a token.
    "tokens.key" "" token_key: Option<Secret> = None, [Reloads Secret Lines];
    /// Files with such keys; several while one replaces another.
    "tokens.key_files" "token-key-file" token_key_files: Vec<String> = Vec::new(), [Reloads Path];
    /// Issuers that tokens must be of (iss). Without any: of any.
    "tokens.issuers" "token-issuer" token_issuers: Vec<String> = Vec::new(), [];
    /// Audiences that this server is (aud). Without any, a token that names one is refused.
    "tokens.audiences" "token-audience" token_audiences: Vec<String> = Vec::new(), [];
    /// How far the clock of the issuer may differ; 10 minutes at most.
    "tokens.leeway" "token-leeway" token_leeway: Duration = Duration::from_secs(5), [];
    /// Whether a token must expire (exp).
    "tokens.expiry" "token-expiry" token_expiry: bool = true, [];
    /// Whether a token may stand in the query, `?token=`, which proxies write into their logs.
    "tokens.query" "token-query" token_in_query: bool = true, [];
    /// The claim that holds what a token grants, as an object, if the issuer cannot set claims of their own.
    "tokens.grants_claim" "token-grants-claim" token_grants_claim: Option<String> = None, [];
    /// The keys of the HTTP API at /api, one in each line, with what it may do behind it. Without any the API is off.
    "api.keys" "" api_keys: Option<Secret> = None, [Reloads Secret Lines];
    /// Lets the official Admin UI look at the server; it needs a password, and its page's origin among the allowed ones.
    "admin_ui.enabled" "admin-ui" admin_ui: bool = false, [];
    /// The name of administrators.
    "admin_ui.user" "admin-ui-user" admin_ui_user: String = "admin".to_owned(), [];
    /// The password of administrators, or its bcrypt hash.
    "admin_ui.password" "" admin_ui_password: Option<Secret> = None, [Secret];
    /// Administrators may watch, and change nothing.
    "admin_ui.read_only" "admin-ui-read-only" admin_ui_read_only: bool = false, [];
    /// Connections at a time. Further clients get the status 503 with a Retry-After.
    "limits.connections" "max-connections" max_connections: u32 = 100_000, [];
    /// Handshakes a second of all clients together. Further ones get the status 503 with a Retry-After.
    "limits.handshakes" "max-handshakes" max_handshakes: u32 = 2_000, [];
    /// Handshakes a second of one address (a network of 64 bits of IPv6). Behind a proxy name that proxy: otherwise all clients have its address.
    "limits.handshakes_per_address" "max-handshakes-per-address" max_handshakes_per_address: u32 = 200, [];
    /// Events a second of one client. One that sends more is read more slowly; no event is lost.
    "limits.events" "max-events" max_events: u32 = 1_000, [];
    /// The size of a message of a client, in bytes; KB, MB, KiB and MiB are understood.
    "limits.payload" "max-payload" max_payload: ByteSize = ByteSize(1_000_000), [];
    /// Rooms that a client may be in, its own not counted.
    "limits.rooms" "max-rooms" max_rooms: u32 = 64, [];
    /// The longest token, in bytes. A longer one is refused unread.
    "limits.token" "max-token" max_token: ByteSize = ByteSize(8_192), [];
    /// Refused tokens a minute of one address (a network of 64 bits of IPv6). Its further ones are refused unread for a while.
    "limits.refused_tokens" "max-refused-tokens" max_refused_tokens: u32 = 60, [];
    /// The size of a request to the HTTP API, in bytes.
    "limits.api_body" "max-api-body" max_api_body: ByteSize = ByteSize(1_048_576), [];
    /// Events in one request to the HTTP API.
    "limits.api_batch" "max-api-batch" max_api_batch: u32 = 1_000, [];
    /// Requests to the HTTP API at a time. Further ones get the status 503 with a Retry-After.
    "limits.api_requests" "max-api-requests" max_api_requests: u32 = 64, [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_flags_and_variables_are_unique_and_secrets_that_are_new_have_no_flag() {
        let mut names = std::collections::BTreeSet::new();
        for setting in SETTINGS {
            assert!(names.insert(setting.key.to_owned()), "{}", setting.key);
            assert!(names.insert(setting.variable()), "{}", setting.variable());
            assert!(setting.flag.is_empty() || names.insert(format!("--{}", setting.flag)));
            assert!(setting.help().ends_with('.'), "{}", setting.key);
            // That of the broker was there before.
            assert!(!setting.is_secret || setting.flag.is_empty() || setting.key == "url");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = Config {
            url: Some(Secret::new("redis://me:hunter2@h")),
            ..Config::default()
        };
        let shown = format!("{config:?} {:?}", config.shown("url"));
        assert!(!shown.contains("hunter2") && shown.contains('…'), "{shown}");
        let other = Config {
            url: Some(Secret::new("redis://me:other@h")),
            ..Config::default()
        };
        let different: Vec<_> = config.differences(&other).iter().map(|setting| setting.key).collect();
        assert_eq!(different, ["url"]);
    }
}
