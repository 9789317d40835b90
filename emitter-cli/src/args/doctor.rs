//! The arguments of `sio doctor`.

use std::time::Duration;

use super::values::duration;

/// Find out why events do not arrive, with a remedy for each cause
///
/// Connects, publishes to itself, asks the servers, watches the channel, and examines the broker as far as the login permits. It changes
/// nothing: it creates no topic, and servers of python-socketio ignore its messages.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// A line of JSON for each finding: severity, code, subject, evidence, remedy
    #[arg(long)]
    pub(crate) json: bool,
    /// The namespace in which clients are expected
    #[arg(short, long, default_value = "/")]
    pub(crate) namespace: String,
    /// How long the channel is watched for messages that cannot be decoded, or are too large for the broker's limits
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) observe: Duration,
    /// The longest that all of it may take: 15s, 500ms, 2m; a number alone is seconds
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The broker's URL; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE. Default redis://127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share; also SIO_CHANNEL. Default socketio
    #[arg(long)]
    pub(crate) channel: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  sio doctor                                        the broker of `sio serve`
  SIO_URL=amqp://me:pw@rabbit sio doctor -n /chat   another broker, and a namespace with clients
  sio doctor --observe 1m --timeout 90s             watch a quiet channel for longer
  sio doctor --json | jq -r 'select(.severity == \"problem\") | .code'

docs/doctor.md lists the codes of all findings.

Exit code:
  0    healthy: no problem; there may be warnings
  1    a problem was found
  2    usage, or a URL that cannot be used
  130  SIGINT ended it
  143  SIGTERM did";
