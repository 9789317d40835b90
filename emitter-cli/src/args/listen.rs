//! The arguments of `sio listen`.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use super::values::{duration, num_wanted};

/// Show what passes on the channel
#[derive(Debug, clap::Args)]
#[command(after_help = LISTEN_EXAMPLES)]
pub(crate) struct ListenArgs {
    /// One line of JSON for each message; the events can be fed to `sio emit --lines`
    #[arg(long)]
    pub(crate) json: bool,
    /// Only what concerns this namespace. As with --room and --event, messages of servers for each other, and those that cannot be decoded,
    /// are left out
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Only what is for this room, or for this client by its id; may be repeated. Events for all clients are left out
    #[arg(short, long, allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) room: Vec<String>,
    /// Only events of this name; may be repeated
    #[arg(long, value_name = "EVENT", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) event: Vec<String>,
    /// End after N messages that are shown. A line about messages that may have been missed does not count
    #[arg(long, value_name = "N", value_parser = num_wanted)]
    pub(crate) count: Option<NonZeroU64>,
    /// End after this time, with exit code 1 if --count was not reached: 10s, 500ms, 2m; a number alone is seconds. Without it the broker may
    /// take 10s to accept the subscription, and listening has no end
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Begin with what was published in this time, as far as the broker keeps it: 10m. Needs a broker that keeps messages, as redis+stream://
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// The broker's URL; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE. Default redis://127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share; also SIO_CHANNEL. Default socketio
    #[arg(long)]
    pub(crate) channel: Option<String>,
}

const LISTEN_EXAMPLES: &str = "\
Examples:
  sio listen                                        what passes, for people
  sio listen --json | head -1                       one line of JSON for each message
  sio listen -n /chat -r lobby --event news         only this event, into this room
  sio listen --event done --count 1 --timeout 30s   wait for an event in a script
  sio listen --url redis+stream://host --since 5m   also what passed in the last five minutes
  sio listen --json > day.ndjson                    record, then play it again:
  grep '\"method\":\"emit\"' day.ndjson | sio emit --lines --rate 100

Exit code:
  0    --count was reached, --timeout passed without one; or ended by a signal or by the reader of standard output
  1    --timeout passed before --count was reached; the broker or standard output failed
  2    usage or input
  130  SIGINT ended it before --count was reached
  143  SIGTERM did; 129: SIGHUP did";
