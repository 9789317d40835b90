//! What the user typed, as close to the command line as it gets.

#[cfg(feature = "bridge")]
mod bridge;
#[cfg(feature = "connect")]
mod connect;
mod doctor;
mod examples;
#[cfg(feature = "serve")]
mod health;
mod inspect;
mod listen;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod token;
mod values;
#[cfg(feature = "redis")]
mod wire;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use clap_complete::Shell;

#[cfg(feature = "bridge")]
pub(crate) use bridge::BridgeArgs;
#[cfg(feature = "connect")]
pub(crate) use connect::ConnectArgs;
pub(crate) use doctor::DoctorArgs;
use examples::{EMIT_EXAMPLES, MAIN_EXAMPLES};
#[cfg(feature = "serve")]
pub(crate) use health::HealthArgs;
pub(crate) use inspect::{RoomsArgs, SelectionArgs, ServersArgs, ViewArgs};
pub(crate) use listen::ListenArgs;
#[cfg(feature = "postgres")]
pub(crate) use postgres::{DatabaseArgs, InstallArgs, PostgresCommand};
#[cfg(feature = "relay")]
pub(crate) use relay::{BodyForm, MappingArgs, ReadingArgs, RelayArgs, SourceKind, StartAt};
#[cfg(feature = "serve")]
pub(crate) use serve::{ConfigAction, ConfigArgs, DemoArgs, ServeArgs};
#[cfg(feature = "serve")]
pub(crate) use token::{Lifetime, TokenCheckArgs, TokenCommand, TokenGenArgs};
pub(crate) use values::LogFormat;
use values::{duration, num_acks};
#[cfg(feature = "redis")]
pub(crate) use wire::{WireArgs, WireName};

/// Where commands look for a broker, and where `serve` starts one.
pub(crate) const DEFAULT_URL: &str = "redis://127.0.0.1:7379";

/// Emit Socket.IO events into rooms from any job, watch what passes, serve clients.
#[derive(Debug, Parser)]
#[command(name = "sio", version, long_version = LONG_VERSION.as_str(), after_help = MAIN_EXAMPLES)]
pub(crate) struct Args {
    /// Only errors on standard error: no summary, no progress
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 90)]
    pub(crate) quiet: bool,
    /// More diagnostics on standard error; repeat for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 91)]
    pub(crate) verbose: u8,
    /// How lines on standard error are written; also SIO_LOG_FORMAT. What is wrong with the command line itself is told as text
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        env = "SIO_LOG_FORMAT",
        hide_env = true,
        display_order = 92
    )]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Emit(EmitArgs),
    /// Disconnect a client, on any server
    ///
    /// Servers are asked first whether the client is there, which takes a second in which they announce themselves, and if none of them has it
    /// standard error says so. The command is published all the same, with exit code 0: servers of python-socketio cannot respond, and may
    /// have it. With -q, or a --timeout of 1s or less, nothing is asked, and the command published at once.
    #[command(after_help = "Example:\n  sio disconnect Vq4n9zjY1p0aXl2CAAAB")]
    Disconnect {
        /// The client's id
        #[arg(allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
        id: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Put a client into a room, on any server
    ///
    /// As with `disconnect`, servers are asked for a second first, but with -q, and standard error says if none that responds has the client;
    /// the exit code is 0.
    #[command(after_help = "Example:\n  sio enter-room Vq4n9zjY1p0aXl2CAAAB lobby")]
    EnterRoom {
        /// The client's id
        #[arg(allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The room
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        room: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Take a client out of a room, on any server
    ///
    /// As with `disconnect`, servers are asked for a second first, but with -q, and standard error says if none that responds has the client;
    /// the exit code is 0.
    #[command(after_help = "Example:\n  sio leave-room Vq4n9zjY1p0aXl2CAAAB lobby")]
    LeaveRoom {
        /// The client's id
        #[arg(allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The room
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        room: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    /// Take all clients out of a room, on every server
    #[command(after_help = "Example:\n  sio close-room lobby")]
    CloseRoom {
        /// The room
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        room: String,
        #[command(flatten)]
        at: NamespaceArgs,
    },
    Listen(ListenArgs),
    Doctor(DoctorArgs),
    Servers(ServersArgs),
    Rooms(RoomsArgs),
    /// List the clients in rooms, on every server
    #[command(after_help = inspect::WHO_EXAMPLES)]
    Who(SelectionArgs),
    /// Count the clients in rooms, on every server
    #[command(after_help = inspect::COUNT_EXAMPLES)]
    Count(SelectionArgs),
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    #[cfg(feature = "bridge")]
    Bridge(BridgeArgs),
    #[cfg(feature = "relay")]
    Relay(Box<RelayArgs>),
    #[cfg(feature = "serve")]
    Health(HealthArgs),
    #[cfg(feature = "serve")]
    Demo(DemoArgs),
    /// Make and check the tokens that clients show to `sio serve`
    #[cfg(feature = "serve")]
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    #[cfg(feature = "connect")]
    Connect(ConnectArgs),
    /// Install, remove and describe the schema that PostgreSQL needs as a broker
    #[cfg(feature = "postgres")]
    Postgres {
        #[command(subcommand)]
        command: PostgresCommand,
    },
    #[cfg(feature = "serve")]
    Config(ConfigArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  sio completions bash > ~/.local/share/bash-completion/completions/sio")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page, or write that of every command into a folder
    #[command(after_help = "Examples:\n  sio man | man -l -\n  sio man --output target/man")]
    Man {
        /// The folder; it is made if it is not there
        #[arg(short, long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
}

/// Emit an event to all clients, to rooms, or to single clients
#[derive(Debug, clap::Args)]
#[command(after_help = EMIT_EXAMPLES)]
pub(crate) struct EmitArgs {
    /// The event's name; with --lines it may be left out, and each line names its own
    #[arg(required_unless_present = "lines")]
    pub(crate) event: Option<String>,
    /// Arguments of the event, each one JSON value; @FILE reads it from a file, @- from standard input. Text that begins with a hyphen
    /// stands behind --
    #[arg(conflicts_with = "lines", allow_negative_numbers = true)]
    pub(crate) data: Vec<String>,
    /// Take DATA, or lines, as text instead of JSON. DATA that begins with @ is written @@; lines are taken as they are
    #[arg(long)]
    pub(crate) text: bool,
    /// Append a file's bytes as one more argument; may be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    pub(crate) binary: Vec<PathBuf>,
    /// The namespace
    #[arg(short, long, default_value = "/")]
    pub(crate) namespace: String,
    /// A room, or a client's id; may be repeated: a client in several gets the event once. Default: all clients
    #[arg(short, long, allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) room: Vec<String>,
    /// A client that does not get it, by its id; may be repeated
    #[arg(long, value_name = "ID", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) except: Vec<String>,
    /// A room whose members do not get it, on servers of this project and of Node; may be repeated
    #[arg(long, value_name = "ROOM", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) except_room: Vec<String>,
    /// Clients that read too slowly may miss it, on servers of this project and of Node
    #[arg(long)]
    pub(crate) volatile: bool,
    /// Wait for the acknowledgements of N clients and print each as a line of JSON; exit code 1 if fewer came within --timeout
    #[arg(long, value_name = "N", conflicts_with = "lines", value_parser = num_acks)]
    pub(crate) ack: Option<NonZeroU64>,
    /// Print how many clients on which servers were handed the event, as a line of JSON; exit code 1 if there was none
    #[arg(long, conflicts_with_all = ["lines", "ack"])]
    pub(crate) receipt: bool,
    /// The event's name for servers, which drop repeats with the same key for some minutes: a job's id, for example. With it the event is sent
    /// again by itself if its acceptance is not known, and the command may be repeated. With --lines, each line has its own "key"
    #[arg(long, value_name = "KEY", conflicts_with = "lines", allow_hyphen_values = true)]
    pub(crate) idempotency_key: Option<String>,
    /// The trace that the event is a part of, as W3C's traceparent; also TRACEPARENT
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) traceparent: Option<String>,
    /// Emit one event for each line of standard input: its argument if EVENT is named here, as JSON or with --text as text; otherwise an object
    /// (see below)
    #[arg(long)]
    pub(crate) lines: bool,
    /// With --lines: at most so many events a second
    #[arg(long, value_name = "N", requires = "lines")]
    pub(crate) rate: Option<f64>,
    /// With --lines: skip bad lines and refused events instead of stopping at the first
    #[arg(long, requires = "lines")]
    pub(crate) keep_going: bool,
    /// With --lines: print what became of each line as soon as it is known, as a line of JSON with its number and key; not in order
    #[arg(long, requires = "lines")]
    pub(crate) results: bool,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[cfg(feature = "redis")]
    #[command(flatten)]
    pub(crate) wire: WireArgs,
}

/// Which broker, which channel, how long to try.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BrokerArgs {
    /// The broker's URL; other users see it in `ps`, but not SIO_URL or the file named by SIO_URL_FILE. Default redis://127.0.0.1:7379
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The channel that servers and emitters share; also SIO_CHANNEL. Default socketio
    #[arg(long)]
    pub(crate) channel: Option<String>,
    /// How long the broker may take to accept, and clients or servers to respond: 10s, 500ms, 2m; a number alone is seconds
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
    #[cfg(feature = "redis")]
    #[command(flatten)]
    pub(crate) wire: WireArgs,
}

/// The version, and the brokers that this build knows.
static LONG_VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}\n{}", env!("CARGO_PKG_VERSION"), crate::backend::brokers()));

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_negative_number_is_data_and_no_option() {
        for number in ["-3.5", "-1", "-1e5"] {
            let args = Args::try_parse_from(["sio", "emit", "temp", number, "-q"]).unwrap();
            let Command::Emit(emit) = args.command else {
                panic!("{args:?}")
            };
            assert_eq!((emit.data, args.quiet), (vec![number.to_owned()], true));
        }
        assert!(Args::try_parse_from(["sio", "emit", "temp", "-x"]).is_err());
    }

    #[test]
    fn the_version_names_the_brokers() {
        let version = LONG_VERSION.as_str();
        assert!(
            version.contains(env!("CARGO_PKG_VERSION")) && version.contains("redis+sentinel"),
            "{version}"
        );
        assert_eq!(
            version.contains("RabbitMQ: amqp, amqps"),
            cfg!(feature = "amqp"),
            "{version}"
        );
        assert_eq!(version.contains("Kafka: kafka"), cfg!(feature = "kafka"), "{version}");
        assert_eq!(
            version.contains("PostgreSQL: postgres, postgresql"),
            cfg!(feature = "postgres"),
            "{version}"
        );
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
}
