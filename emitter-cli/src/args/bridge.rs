//! The command line of `bridge`, with the feature of the same name.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use gateway::listen::Address;

/// Join fleets of servers on different brokers, channels and wires: their clients are in the same rooms
///
/// Events, changes of rooms and disconnects pass between all sides, acknowledgements and requests of servers where both sides have them. Of
/// several bridges with the same sides one forwards, and another one follows when it is gone.
#[derive(Debug, clap::Args)]
#[command(after_help = BRIDGE_EXAMPLES)]
pub(crate) struct BridgeArgs {
    /// A file that describes the sides, in TOML; see below
    #[arg(long, value_name = "FILE", required_unless_present = "side", conflicts_with = "side")]
    pub(crate) config: Option<PathBuf>,
    /// A side, in place of a file; to be given twice or more. Other users see its URL in `ps`: a file may name one with the URL
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) side: Vec<String>,
    /// The name that bridges which stand in for each other share. Default bridge
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// The address of metrics and health: HOST:PORT, or a port of 127.0.0.1
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<Address>,
    /// Only check the settings, print what the bridge would join, and look whether it would receive all events; sends nothing
    #[arg(long)]
    pub(crate) check: bool,
}

const BRIDGE_EXAMPLES: &str = "\
Examples:
  sio bridge --config bridge.toml
  sio bridge --config bridge.toml --check
  sio bridge --side name=python,channel=socketio,url=redis://one --side name=node,wire=node-classic,url=redis://two

A file:
  name = \"python-node\"
  admin_listen = \"127.0.0.1:9101\"

  [[side]]
  name = \"python\"
  url_file = \"/run/secrets/one\"        or url = \"redis://one\", amqp://…, kafka://…
  channel = \"socketio\"

  [[side]]
  name = \"node\"
  url = \"redis://two\"
  wire = \"node-classic\"               or node-sharded, node-streams, node-streams-0.2, node-postgres
  namespaces = [\"/\", \"/chat\"]

Further keys of a side: wire_prefix, wire_stream, wire_stream_count, wire_sharded_pub_sub, wire_table, silent_servers. Further tables: [control] with
url or url_file, channel, enabled; [limits] with waiting, requests; [times] with publish, request, beat, lease, takeover, settle, survey, flush.
All of it is described in docs/bridge.md. With --side a key is given once; `namespace` may be repeated.

Start it twice or more for availability. SIGTERM hands over to another bridge, or forwards what waits; a second signal ends it at once.

Exit code: 0 ended by a signal, 1 a broker refused, or what was published could not be flushed, 2 usage or settings, or two sides that
are the same fleet.";
