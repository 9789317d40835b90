//! The wire of a server: whose messages it understands.
//!
//! | wire | the other servers |
//! |---|---|
//! | `python` | of this project, and of python-socketio; they share a channel |
//! | `node-classic` | on Node, with `createAdapter` of `@socket.io/redis-adapter` |
//! | `node-sharded` | on Node, with `createShardedAdapter` of `@socket.io/redis-adapter` |
//! | `node-streams` | on Node, with `@socket.io/redis-streams-adapter` since 0.3 |
//! | `node-streams-0.2` | on Node, with the same up to 0.2 |
//! | `node-postgres` | on Node, with `@socket.io/postgres-adapter` |
//!
//! A server with a wire of Node needs a manager over Redis, or PostgreSQL for the last one, and has the options of the adapter of its fleet. The names of
//! the settings are those of the flags of `sio emit`, so that what works for one works for the other:
//!
//! ```
//! use gateway::config::{Config, WireName};
//!
//! let config = Config {
//!     wire: WireName::NodeClassic,
//!     wire_prefix: Some("my-app".to_owned()),
//!     ..Config::default()
//! };
//! assert!(config.node_wire()?.is_some());
//! let options: Vec<_> = config.wire_options().iter().map(|(option, value)| format!("{option} {value}")).collect();
//! assert_eq!(options, ["--wire node-classic", "--wire-prefix my-app"]);
//! # Ok::<(), gateway::config::Problem>(())
//! ```

use node_wire::{NodeWire, SubscriptionMode};

use super::value::{Raw, Value, quoted};
use super::{Config, Problem};

/// How a server writes its messages to the others, and reads theirs: `wire`.
///
/// A wire of another adapter than the other servers have reaches none of them, and nothing tells so at the start: `sio
/// count --wire …` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireName {
    /// As python-socketio: that of this project.
    #[default]
    Python,
    /// As `createAdapter` of @socket.io/redis-adapter.
    NodeClassic,
    /// As `createShardedAdapter` of @socket.io/redis-adapter.
    NodeSharded,
    /// As @socket.io/redis-streams-adapter since version 0.3.
    NodeStreams,
    /// As @socket.io/redis-streams-adapter up to version 0.2.
    NodeStreams02,
    /// As @socket.io/postgres-adapter.
    NodePostgres,
}

const WIRES: [(&str, WireName); 6] = [
    ("python", WireName::Python),
    ("node-classic", WireName::NodeClassic),
    ("node-sharded", WireName::NodeSharded),
    ("node-streams", WireName::NodeStreams),
    ("node-streams-0.2", WireName::NodeStreams02),
    ("node-postgres", WireName::NodePostgres),
];

const MODES: [(&str, SubscriptionMode); 3] = [
    ("static", SubscriptionMode::Static),
    ("dynamic", SubscriptionMode::Dynamic),
    ("dynamic-private", SubscriptionMode::DynamicPrivate),
];

impl WireName {
    /// Returns the name, as `--wire` takes it.
    pub fn name(self) -> &'static str {
        name_in(&WIRES, &self)
    }
}

fn name_in<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    let found = names.iter().find(|(_, each)| each == value);
    found.map_or("unknown", |(name, _)| name)
}

fn read_of<T: Copy>(names: &[(&'static str, T)], raw: &Raw) -> Result<T, String> {
    let text = raw.one()?;
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}", known.join(", "))
    })
}

impl Value for WireName {
    const KIND: &'static str = "name of a wire";

    fn read(raw: &Raw) -> Result<Self, String> {
        read_of(&WIRES, raw)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self.name()))
    }
}

impl Value for SubscriptionMode {
    const KIND: &'static str = "name of a mode";

    fn read(raw: &Raw) -> Result<Self, String> {
        read_of(&MODES, raw)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(name_in(&MODES, self)))
    }
}

impl Config {
    /// Returns the wire of servers on Node, with the options of their adapter; `None` for that of our own.
    ///
    /// Its limits are the defaults: a server with others is built with `SocketIo::builder` and
    /// [`NodeWire::limits`].
    ///
    /// # Errors
    ///
    /// If a setting has no effect on the wire: the name of a stream where the adapter has none, or a channel. What has no
    /// effect was meant otherwise.
    pub fn node_wire(&self) -> Result<Option<NodeWire>, Problem> {
        let wire = self.wire;
        let is_streams = matches!(wire, WireName::NodeStreams | WireName::NodeStreams02);
        for (key, is_set, has_effect, needed) in [
            (
                "wire_prefix",
                self.wire_prefix.is_some(),
                wire != WireName::Python,
                "a wire of Node",
            ),
            ("wire_stream", self.wire_stream.is_some(), is_streams, "node-streams"),
            (
                "wire_stream_count",
                self.wire_stream_count.is_some(),
                is_streams,
                "node-streams",
            ),
            (
                "wire_sharded_pub_sub",
                self.wire_sharded_pub_sub,
                wire == WireName::NodeStreams,
                "node-streams",
            ),
            (
                "wire_subscription_mode",
                self.wire_subscription_mode.is_some(),
                wire == WireName::NodeSharded,
                "node-sharded",
            ),
            (
                "wire_table",
                self.wire_table.is_some(),
                wire == WireName::NodePostgres,
                "node-postgres",
            ),
        ] {
            if is_set && !has_effect {
                return Err(Problem::of(key, format!("needs {needed} as the wire")));
            }
        }
        let node = match wire {
            WireName::Python => return Ok(None),
            WireName::NodeClassic => NodeWire::classic(),
            WireName::NodeSharded => NodeWire::sharded(),
            WireName::NodeStreams => NodeWire::streams().sharded_pub_sub(self.wire_sharded_pub_sub),
            WireName::NodeStreams02 => NodeWire::streams_before_0_3(),
            WireName::NodePostgres => NodeWire::postgres(),
        };
        if self.channel != Self::default().channel {
            let text = "has no effect on a wire of Node, whose channels are named by wire_prefix";
            return Err(Problem::of("channel", text));
        }
        let node = self.wire_prefix.iter().fold(node, NodeWire::prefix);
        let node = self.wire_stream.iter().fold(node, NodeWire::stream);
        let node = self.wire_stream_count.into_iter().fold(node, NodeWire::stream_count);
        let node = self.wire_table.iter().map(String::as_str).fold(node, NodeWire::table);
        let mode = self.wire_subscription_mode.into_iter();
        Ok(Some(mode.fold(node, NodeWire::subscription_mode)))
    }

    /// Returns the options of `sio emit` that name the same wire, each with its value, which is empty for a switch; none
    /// for that of our own.
    ///
    /// The mode of subscription is not among them: what is emitted reaches servers in every mode.
    pub fn wire_options(&self) -> Vec<(&'static str, String)> {
        if self.wire == WireName::Python {
            return Vec::new();
        }
        let mut options = vec![("--wire", self.wire.name().to_owned())];
        let names = [
            ("--wire-prefix", &self.wire_prefix),
            ("--wire-stream", &self.wire_stream),
            ("--wire-table", &self.wire_table),
        ];
        let names = names
            .into_iter()
            .filter_map(|(option, name)| Some((option, name.clone()?)));
        options.extend(names);
        options.extend(
            self.wire_stream_count
                .map(|count| ("--wire-stream-count", count.to_string())),
        );
        if self.wire_sharded_pub_sub {
            options.push(("--wire-sharded-pub-sub", String::new()));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_as_it_is_shown() {
        for (name, wire) in WIRES {
            assert_eq!(WireName::read(&Raw::Text(name.to_owned())), Ok(wire));
            assert_eq!(wire.show(), Some(format!("\"{name}\"")));
        }
        let unknown = WireName::read(&Raw::Text("node".to_owned())).unwrap_err();
        assert!(unknown.contains("node-classic"), "{unknown}");
        for (name, mode) in MODES {
            assert_eq!(SubscriptionMode::read(&Raw::Text(name.to_owned())), Ok(mode));
            assert_eq!(mode.show(), Some(format!("\"{name}\"")));
        }
    }

    #[test]
    fn a_setting_without_effect_on_the_wire_is_named() {
        let config = |wire| Config {
            wire,
            ..Config::default()
        };
        let (python, classic, streams) = (WireName::Python, WireName::NodeClassic, WireName::NodeStreams);
        let with = |wire, change: fn(&mut Config)| {
            let mut config = config(wire);
            change(&mut config);
            config
                .node_wire()
                .map(|wire| wire.is_some())
                .map_err(|problem| problem.key())
        };
        assert_eq!(with(python, |_| {}), Ok(false));
        assert_eq!(with(classic, |_| {}), Ok(true));
        assert_eq!(
            with(python, |config| config.wire_prefix = Some("p".into())),
            Err(Some("wire_prefix"))
        );
        assert_eq!(
            with(classic, |config| config.wire_stream = Some("s".into())),
            Err(Some("wire_stream"))
        );
        assert_eq!(
            with(classic, |config| config.wire_stream_count = Some(2)),
            Err(Some("wire_stream_count"))
        );
        assert_eq!(with(streams, |config| config.wire_stream_count = Some(2)), Ok(true));
        let sharded = |config: &mut Config| config.wire_sharded_pub_sub = true;
        assert_eq!(
            with(WireName::NodeStreams02, sharded),
            Err(Some("wire_sharded_pub_sub"))
        );
        let mode = |config: &mut Config| config.wire_subscription_mode = Some(SubscriptionMode::Static);
        assert_eq!(with(streams, mode), Err(Some("wire_subscription_mode")));
        assert_eq!(with(WireName::NodeSharded, mode), Ok(true));
        let table = |config: &mut Config| config.wire_table = Some("t".into());
        assert_eq!(with(streams, table), Err(Some("wire_table")));
        assert_eq!(with(WireName::NodePostgres, table), Ok(true));
        assert_eq!(
            with(classic, |config| config.channel = "c".into()),
            Err(Some("channel"))
        );
    }
}
