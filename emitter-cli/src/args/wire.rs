//! The arguments that name the software of the servers, where that is not ours or python-socketio.

use clap::builder::NonEmptyStringValueParser;

/// How messages are written.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WireArgs {
    /// How the servers write their messages; those of Node by their adapter. Also SIO_WIRE. Default python
    #[arg(long, value_name = "WIRE", help_heading = "Servers on Node")]
    pub(crate) wire: Option<WireName>,
    /// The prefix of the adapter's channels: its option `key` or `channelPrefix`. Default socket.io
    #[arg(long, value_name = "PREFIX", help_heading = "Servers on Node", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) wire_prefix: Option<String>,
    /// The name of the adapter's stream, `streamName`. Default socket.io
    #[arg(long, value_name = "NAME", help_heading = "Servers on Node", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) wire_stream: Option<String>,
    /// The number of its streams, `streamCount`. Default 1
    #[arg(long, value_name = "N", help_heading = "Servers on Node", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) wire_stream_count: Option<u32>,
    /// The servers have the option `useShardedPubSub`, for requests beside their streams
    #[arg(long, help_heading = "Servers on Node")]
    pub(crate) wire_sharded_pub_sub: bool,
    /// The adapter's table of attachments in PostgreSQL, `tableName`. Default socket_io_attachments
    #[arg(long, value_name = "TABLE", help_heading = "Servers on Node", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) wire_table: Option<String>,
}

/// The wires, by the names of their adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WireName {
    /// Servers of this project and of python-socketio
    Python,
    /// `createAdapter` of @socket.io/redis-adapter
    NodeClassic,
    /// `createShardedAdapter` of @socket.io/redis-adapter
    NodeSharded,
    /// @socket.io/redis-streams-adapter since version 0.3
    NodeStreams,
    /// @socket.io/redis-streams-adapter up to version 0.2
    #[value(name = "node-streams-0.2")]
    NodeStreams02,
    /// @socket.io/postgres-adapter
    NodePostgres,
}
