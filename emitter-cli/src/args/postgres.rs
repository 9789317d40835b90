//! The arguments of `sio postgres`.

use std::time::Duration;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use super::values::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum PostgresCommand {
    Install(InstallArgs),
    /// Remove the schema with all messages, and the functions
    ///
    /// Servers on this database are refused from then on. Where nothing is installed, nothing happens.
    #[command(after_help = "Example:\n  sio postgres uninstall --url postgres://admin@db/shop")]
    Uninstall(DatabaseArgs),
    /// Print what is installed, and how much the log holds
    #[command(after_help = "Example:\n  sio postgres status --url postgres://me@db/shop")]
    Status(DatabaseArgs),
}

/// Create the schema that servers and emitters need, and the functions sio_emit, sio_emit_in and sio_publish
///
/// It may be repeated, and updates an older version. The user needs the right to create a schema; docs/brokers.md lists the rights that
/// servers, emitters and applications need.
#[derive(Debug, clap::Args)]
#[command(after_help = INSTALL_EXAMPLES)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// How long messages are kept for servers that are away: 10m, 90s, 1h. Default: as installed, 10m at first
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) retention: Option<Duration>,
    /// The most messages that are kept, as far as they are older than half a minute. Default: as installed, 1000000 at first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_messages: Option<u64>,
    /// The schema of the functions that applications call. Default: as installed, public at first
    #[arg(long, value_name = "SCHEMA", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) functions: Option<String>,
}

/// Which database, and which schema in it.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The database's URL, postgres://…; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The schema of the log. Default sio, or as the URL says
    #[arg(long, value_name = "SCHEMA", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) schema: Option<String>,
    /// How long it may take: 10s, 500ms, 2m; a number alone is seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

const INSTALL_EXAMPLES: &str = "\
Examples:
  sio postgres install --url postgres://admin@db/shop
  sio postgres install --url postgres://admin@db/shop --retention 1h --functions app
  psql -c \"BEGIN; UPDATE orders SET state = 'paid' WHERE id = 7; SELECT sio_emit('order:7', 'paid', '{\\\"id\\\": 7}'); COMMIT\"";
