//! The arguments of `sio connect`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use super::values::{duration, num_wanted};

/// Connect to a server as a client: show its events, emit, wait
///
/// A client of Socket.IO protocol 5 over WebSocket, for any server; no broker is used. Standard output has a line of JSON for each thing that
/// happens: `connect`, `event`, `ack`, `connect_error`, `disconnect`. Attachments stand in base64 in the order of their placeholders.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConnectArgs {
    /// The server: http://HOST:PORT, also https, ws, wss; a query is passed to the server
    pub(crate) url: String,
    /// The namespace
    #[arg(short, long, default_value = "/")]
    pub(crate) namespace: String,
    /// What the server gets as `auth`: JSON; @FILE reads it from a file, @- from standard input. Other users see it in `ps`, but not a file
    #[arg(long, value_name = "JSON")]
    pub(crate) auth: Option<String>,
    /// Show only events of this name; may be repeated. Default: all
    #[arg(long, value_name = "EVENT", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) event: Vec<String>,
    /// End after N events that are shown
    #[arg(long, value_name = "N", value_parser = num_wanted)]
    pub(crate) count: Option<NonZeroU64>,
    /// End after an event of this name, which is shown
    #[arg(long, value_name = "EVENT", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) wait: Option<String>,
    /// Emit an event once connected: its name, then arguments, each one JSON value; @FILE reads it from a file. Ends once it is sent, unless
    /// there is more to wait for or to show
    #[arg(long, value_names = ["EVENT", "DATA"], num_args = 1.., allow_negative_numbers = true)]
    pub(crate) emit: Vec<String>,
    /// Append a file's bytes as one more argument of --emit; may be repeated
    #[arg(long, value_name = "FILE", requires = "emit")]
    pub(crate) binary: Vec<PathBuf>,
    /// Wait for the server's acknowledgement of --emit, and show it
    #[arg(long, requires = "emit")]
    pub(crate) ack: bool,
    /// The longest that all of it may take: 10s, 500ms, 2m; a number alone is seconds. Default: 10s for connecting, and then no end
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Where the server has its Socket.IO
    #[arg(long, default_value = "/socket.io/")]
    pub(crate) path: String,
    /// A header of the request, `Name: value`; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// A PEM file with authorities, or the server's own certificate, to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  sio connect http://127.0.0.1:3000                                   what the server sends, until Ctrl-C
  sio connect https://app.example -n /chat --auth '{\"token\":\"…\"}'     a namespace that wants a token
  sio connect http://127.0.0.1:3000 --emit join '\"lobby\"' --ack       emit, and show the acknowledgement
  sio connect http://127.0.0.1:3000 --wait ready --timeout 10s        a check in CI

Exit code:
  0    all came that --ack, --wait and --count wait for; without them: the event of --emit was sent, --timeout passed, or a signal or the
       reader of standard output ended it
  1    no connection; the server refused (connect_error) or disconnected; --timeout passed before all came
  2    usage or input
  130  SIGINT ended it before all came
  143  SIGTERM did; 129: SIGHUP did";
