//! The arguments of the commands that inspect servers, rooms and clients.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

#[cfg(feature = "redis")]
use super::WireArgs;
use super::values::duration;
use super::{BrokerArgs, NamespaceArgs};

macro_rules! exit_codes {
    () => {
        "
Exit code:
  0    every known server has responded; also if a signal ended --watch
  1    the broker refused or was out of reach, no server responded, or not all did; what is known is printed
  2    usage or input
  130  SIGINT ended it before the report
  143  SIGTERM did"
    };
}

/// List the servers on the channel
///
/// Each server reports its id, host, software, uptime, clients, for how long it has been listening, how often it may have missed messages, and
/// how far its clock differs. A server that was running and does not respond is listed as such. Servers of python-socketio cannot respond.
#[derive(Debug, clap::Args)]
#[command(after_help = SERVERS_EXAMPLES)]
pub(crate) struct ServersArgs {
    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[cfg(feature = "redis")]
    #[command(flatten)]
    pub(crate) wire: WireArgs,
}

/// List rooms and how many clients are in each, on every server
#[derive(Debug, clap::Args)]
#[command(after_help = ROOMS_EXAMPLES)]
pub(crate) struct RoomsArgs {
    /// Only rooms whose names start with this
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) at: NamespaceArgs,
}

/// The clients of some rooms.
#[derive(Debug, clap::Args)]
pub(crate) struct SelectionArgs {
    /// Rooms, or ids of clients; a client in several counts once. One that begins with a hyphen stands behind --. Default: all clients in
    /// the namespace
    #[arg(value_name = "ROOM", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) rooms: Vec<String>,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) at: NamespaceArgs,
}

/// The form of a report.
#[derive(Debug, clap::Args)]
pub(crate) struct ViewArgs {
    /// Lines of JSON: one for each server, room or client, or for the count
    #[arg(long)]
    pub(crate) json: bool,
    /// Repeat the report until a signal
    #[arg(long)]
    pub(crate) watch: bool,
    /// With --watch: the time between reports
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "watch", value_parser = duration)]
    pub(crate) interval: Duration,
}

const SERVERS_EXAMPLES: &str = concat!(
    "Examples:
  sio servers                  a table
  sio servers --json           one line of JSON for each server
  sio servers --watch          again and again, until Ctrl-C
",
    exit_codes!()
);

const ROOMS_EXAMPLES: &str = concat!(
    "Examples:
  sio rooms                    all rooms of the namespace /
  sio rooms -n /chat -p job:   those of /chat that start with job:
",
    exit_codes!()
);

pub(super) const WHO_EXAMPLES: &str = concat!(
    "Examples:
  sio who lobby                the clients in a room
  sio who lobby hall --json    of two rooms, with all their rooms and their data
",
    exit_codes!()
);

pub(super) const COUNT_EXAMPLES: &str = concat!(
    "Examples:
  sio count                    all clients of the namespace /
  sio count lobby              those in a room
",
    exit_codes!()
);
