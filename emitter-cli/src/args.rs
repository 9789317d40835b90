//! What the user typed, as close to the command line as it gets.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use clap_complete::Shell;

/// Where commands look for a broker, and where `serve` starts one.
pub(crate) const DEFAULT_URL: &str = "redis://127.0.0.1:7379";

/// Emit Socket.IO events into rooms from any job, watch what passes, serve clients.
#[derive(Debug, Parser)]
#[command(name = "sio", version, disable_help_subcommand = true, after_help = MAIN_EXAMPLES)]
pub(crate) struct Args {
    /// Only errors on standard error: no summary, no progress
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 90)]
    pub(crate) quiet: bool,
    /// More diagnostics on standard error; repeat for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 91)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Emit(EmitArgs),
    /// Disconnect a client, on whichever server it is
    #[command(after_help = "Example:\n  sio disconnect Vq4n9zjY1p0aXl2CAAAB")]
    Disconnect {
        /// The client's id
        #[arg(allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Put a client into a room, on whichever server it is
    #[command(after_help = "Example:\n  sio enter-room Vq4n9zjY1p0aXl2CAAAB lobby")]
    EnterRoom {
        /// The client's id
        #[arg(allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The room
        room: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Take a client out of a room, on whichever server it is
    #[command(after_help = "Example:\n  sio leave-room Vq4n9zjY1p0aXl2CAAAB lobby")]
    LeaveRoom {
        /// The client's id
        #[arg(allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The room
        room: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Take everybody out of a room, on every server
    #[command(after_help = "Example:\n  sio close-room lobby")]
    CloseRoom {
        /// The room
        room: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Show what passes on the channel
    #[command(after_help = LISTEN_EXAMPLES)]
    Listen {
        /// One line of JSON for each message; the events can be fed to `sio emit --lines`
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        broker: BrokerArgs,
    },
    Serve(ServeArgs),
    Demo(DemoArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  sio completions bash > ~/.local/share/bash-completion/completions/sio")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Emit an event to everybody, to rooms, or to single clients
#[derive(Debug, clap::Args)]
#[command(after_help = EMIT_EXAMPLES)]
pub(crate) struct EmitArgs {
    /// The event's name; with --lines it may be left out, and each line names its own
    #[arg(required_unless_present = "lines")]
    pub(crate) event: Option<String>,
    /// Arguments of the event, each one JSON value; @FILE reads it from a file, @- from standard input
    #[arg(conflicts_with = "lines")]
    pub(crate) data: Vec<String>,
    /// Take DATA, or lines, as text instead of JSON; a text that begins with @ is written @@
    #[arg(long)]
    pub(crate) text: bool,
    /// Append a file's bytes as one more argument; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    pub(crate) binary: Vec<PathBuf>,
    /// The namespace
    #[arg(short, long, default_value = "/")]
    pub(crate) namespace: String,
    /// A room, or a client's id; may be repeated: who is in several gets the event once. Default: everybody
    #[arg(short, long, allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) room: Vec<String>,
    /// A client that does not get it, by its id; may be repeated
    #[arg(long, value_name = "ID", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) except: Vec<String>,
    /// Wait for the answers of N clients and print each as a line of JSON
    #[arg(long, value_name = "N", conflicts_with = "lines")]
    pub(crate) ack: Option<NonZeroU64>,
    /// Emit one event for each line of standard input
    #[arg(long)]
    pub(crate) lines: bool,
    /// With --lines: at most so many events a second
    #[arg(long, value_name = "N", requires = "lines")]
    pub(crate) rate: Option<f64>,
    /// With --lines: skip bad lines and refused events instead of stopping at the first
    #[arg(long, requires = "lines")]
    pub(crate) keep_going: bool,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

/// Run a ready-made server whose clients join rooms and get what is emitted into them
#[derive(Debug, clap::Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The address to serve HTTP on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// The broker; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE. Without any of them, an embedded broker for
    /// this machine is started on 127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share
    #[arg(long, default_value = "socketio")]
    pub(crate) channel: String,
}

/// See it work: server, broker, client and emitter in one process, over real connections
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sio demo              one event a second until Ctrl-C; open the page it names\n  \
    sio demo --count 20   ends after 20 deliveries; exit code 0 only if all came"
)]
pub(crate) struct DemoArgs {
    /// End after N deliveries
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
}

/// Which broker, which channel, how long to try.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BrokerArgs {
    /// The broker's URL; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE. Default redis://127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share
    #[arg(long, default_value = "socketio")]
    pub(crate) channel: String,
    /// How long the broker may take to accept, and clients to answer: 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NamespaceArgs {
    /// The namespace
    #[arg(short, long, default_value = "/")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

/// Reads `10s`, `1.5s`, `500ms`, `2m`, or a number of seconds; more than zero, at most a day.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_of_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("unknown unit {unit:?}: use ms, s, m or h")),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| "expected a time such as 10s or 500ms".to_owned())?;
    let seconds = number * seconds_of_unit;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err("expected a time from 1ms to 24h".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

const MAIN_EXAMPLES: &str = "\
Examples:
  sio demo                             see it work, with nothing installed
  sio serve                            in one terminal: a server, a page, an embedded broker
  sio emit --room lobby news '{\"a\":1}'  in another: an event for everybody in the room

Exit code: 0 all accepted, 1 the broker refused or was out of reach, 2 usage or input.";

const EMIT_EXAMPLES: &str = "\
Examples:
  sio emit news '{\"title\":\"hello\"}'               to everybody
  sio emit -r lobby -r hall news '\"hello\"' 2       to two rooms, with two arguments
  sio emit -r lobby --text news 'hello there'      text needs no quotes of JSON
  sio emit -n /chat --binary photo.png photo       a file's bytes as an argument
  sio emit --ack 1 --timeout 5s -r ID question 1   print the client's answer
  tail -f app.log | sio emit --lines --text log    an event for each line
  sio emit --lines < events.ndjson                 each line an object:
      {\"event\":\"news\",\"data\":1,\"room\":\"lobby\"}
      {\"event\":\"news\",\"args\":[1,2],\"room\":[\"a\",\"b\"],\"namespace\":\"/chat\",\"except\":\"ID\"}

Exit code: 0 all accepted, 1 the broker refused or was out of reach, 2 usage or input.";

const LISTEN_EXAMPLES: &str = "\
Examples:
  sio listen                                        what passes, for people
  sio listen --json | head -1                       one line of JSON for each message
  sio listen --json > day.ndjson                    record, then play it again:
  grep '\"method\":\"emit\"' day.ndjson | sio emit --lines --rate 100";

const SERVE_EXAMPLES: &str = "\
Examples:
  sio serve                                  page at http://127.0.0.1:3000/, broker at redis://127.0.0.1:7379
  sio serve --url redis://redis.internal     any number of servers on one broker
  sio serve --listen 0.0.0.0:8080            reachable from outside: whoever connects may join any room

Clients join and leave rooms with the events `join` and `leave` (acknowledged with \"ok\"), or with ?room=NAME
when they connect; may be repeated.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    /// Ids are in the alphabet of base64url: each 64th begins with a hyphen.
    #[test]
    fn an_id_that_begins_with_hyphens_is_no_option() {
        for id in ["--9I8ves4Mq-u30SueE3", "-q9I8ves4Mq_u30SueE3", "-"] {
            for arguments in [
                vec!["disconnect", id],
                vec!["enter-room", id, "lobby"],
                vec!["leave-room", "-q", id, "lobby"],
                vec!["emit", "-r", id, "--except", id, "news"],
            ] {
                let args = Args::try_parse_from(["sio"].iter().chain(&arguments)).unwrap();
                let is_taken = match args.command {
                    Command::Disconnect { id: taken, .. }
                    | Command::EnterRoom { id: taken, .. }
                    | Command::LeaveRoom { id: taken, .. } => taken == id,
                    Command::Emit(emit) => emit.room == [id] && emit.except == [id],
                    other => panic!("{other:?}"),
                };
                assert!(is_taken, "{arguments:?}");
            }
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, millis) in [
            ("10s", 10_000),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2m", 120_000),
            ("3", 3_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1s", "0s", "5d", "NaN", "inf", "1e9h", "10 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
