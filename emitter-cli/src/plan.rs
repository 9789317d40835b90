//! What is to be done: every check of the input happens here, before anything is sent.

#[cfg(feature = "bridge")]
mod bridge;
mod broker;
#[cfg(feature = "connect")]
mod connect;
mod data;
mod doctor;
pub(crate) mod encoding;
mod inspect;
mod lines;
mod listen;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod token;
mod trace;
mod url_source;
#[cfg(feature = "redis")]
mod wire;

use std::path::PathBuf;

use clap_complete::Shell;
use manager_api::trace::TraceParent;
use manager_api::{Broadcast, Emitter, EventName, IdempotencyKey, NamespaceName, Payload, Room, Sid};

#[cfg(feature = "serve")]
use crate::args::HealthArgs;
use crate::args::{Args, Command, EmitArgs, NamespaceArgs};
use crate::failure::Failure;

#[cfg(feature = "bridge")]
pub(crate) use bridge::{BridgePlan, SidePlan};
pub(crate) use broker::BrokerPlan;
use broker::{broker_plan, emit_broker_plan, wired_broker_plan};
#[cfg(feature = "connect")]
pub(crate) use connect::{ConnectPlan, Wanted};
pub(crate) use doctor::DoctorPlan;
pub(crate) use inspect::{InspectPlan, Subject};
pub(crate) use lines::{LineFormat, ParsedLine};
pub(crate) use listen::ListenPlan;
#[cfg(feature = "postgres")]
pub(crate) use postgres::{PostgresAction, PostgresPlan};
#[cfg(feature = "relay")]
pub(crate) use relay::{MapPlan, RelayPlan, SourcePlan};
#[cfg(feature = "serve")]
pub(crate) use serve::{ConfigPlan, DemoPlan, ServePlan, checked};
#[cfg(feature = "serve")]
pub(crate) use token::{TokenCheckPlan, TokenGenPlan, TokenPlan, in_words};

/// A command whose input is known to be usable.
#[derive(Debug)]
pub(crate) enum Plan {
    Emit(EmitPlan),
    Lines(LinesPlan),
    Control(ControlPlan),
    Listen(ListenPlan),
    Doctor(DoctorPlan),
    Inspect(InspectPlan),
    #[cfg(feature = "serve")]
    Serve(Box<ServePlan>),
    #[cfg(feature = "bridge")]
    Bridge(Box<BridgePlan>),
    #[cfg(feature = "relay")]
    Relay(Box<RelayPlan>),
    #[cfg(feature = "serve")]
    Health(HealthArgs),
    #[cfg(feature = "serve")]
    Demo(DemoPlan),
    #[cfg(feature = "serve")]
    Token(TokenPlan),
    #[cfg(feature = "connect")]
    Connect(Box<ConnectPlan>),
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresPlan>),
    #[cfg(feature = "serve")]
    Config(ConfigPlan),
    Completions(Shell),
    Man(Option<PathBuf>),
}

/// One event.
#[derive(Debug)]
pub(crate) struct EmitPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) address: Address,
    pub(crate) event: EventName,
    pub(crate) payload: Payload,
    pub(crate) num_acks: Option<usize>,
    /// Servers are to report the clients that they handed the event to.
    pub(crate) receipt: bool,
}

/// An event for each line of standard input.
#[derive(Debug)]
pub(crate) struct LinesPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) format: LineFormat,
    pub(crate) events_per_second: Option<f64>,
    pub(crate) keep_going: bool,
    pub(crate) results: bool,
}

/// Something to do to a client or a room.
#[derive(Debug)]
pub(crate) struct ControlPlan {
    pub(crate) broker: BrokerPlan,
    pub(crate) namespace: NamespaceName,
    pub(crate) action: Action,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Disconnect(Sid),
    Enter(Sid, Room),
    Leave(Sid, Room),
    Close(Room),
}

impl Plan {
    /// Checks what the user typed.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(crate) fn new(args: Args) -> Result<Plan, Failure> {
        let quiet = args.quiet;
        match args.command {
            Command::Emit(emit) if emit.lines => lines_plan(emit, quiet).map(Plan::Lines),
            Command::Emit(emit) => emit_plan(emit, quiet).map(Plan::Emit),
            Command::Disconnect { id, at } => control_plan(at, Action::Disconnect(id.as_str().into()), quiet),
            Command::EnterRoom { id, room, at } => {
                control_plan(at, Action::Enter(id.as_str().into(), room.into()), quiet)
            }
            Command::LeaveRoom { id, room, at } => {
                control_plan(at, Action::Leave(id.as_str().into(), room.into()), quiet)
            }
            Command::CloseRoom { room, at } => control_plan(at, Action::Close(room.into()), quiet),
            Command::Listen(listen) => ListenPlan::new(listen, quiet).map(Plan::Listen),
            Command::Doctor(doctor) => DoctorPlan::new(doctor, quiet).map(Plan::Doctor),
            Command::Servers(servers) => InspectPlan::servers(servers, quiet),
            Command::Rooms(rooms) => InspectPlan::rooms(rooms, quiet),
            Command::Who(clients) => InspectPlan::clients(clients, quiet),
            Command::Count(clients) => InspectPlan::count(clients, quiet),
            #[cfg(feature = "serve")]
            Command::Serve(serve) => ServePlan::new(serve, quiet).map(Box::new).map(Plan::Serve),
            #[cfg(feature = "bridge")]
            Command::Bridge(args) => BridgePlan::new(args, quiet).map(Box::new).map(Plan::Bridge),
            #[cfg(feature = "relay")]
            Command::Relay(relay) => RelayPlan::new(*relay, quiet).map(Box::new).map(Plan::Relay),
            #[cfg(feature = "serve")]
            Command::Health(args) => Ok(Plan::Health(args)),
            #[cfg(feature = "serve")]
            Command::Demo(demo) => Ok(Plan::Demo(DemoPlan { count: demo.count })),
            #[cfg(feature = "serve")]
            Command::Token { command } => TokenPlan::new(command).map(Plan::Token),
            #[cfg(feature = "connect")]
            Command::Connect(connect) => Ok(Plan::Connect(Box::new(ConnectPlan::new(connect)?))),
            #[cfg(feature = "postgres")]
            Command::Postgres { command } => PostgresPlan::new(command).map(Box::new).map(Plan::Postgres),
            #[cfg(feature = "serve")]
            Command::Config(config) => ConfigPlan::new(config.action).map(Plan::Config),
            Command::Completions { shell } => Ok(Plan::Completions(shell)),
            Command::Man { output } => Ok(Plan::Man(output)),
        }
    }
}

/// Whom an event is for, and how much that matters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Address {
    pub(crate) namespace: NamespaceName,
    /// All clients, if there is none.
    pub(crate) rooms: Vec<Room>,
    pub(crate) except: Vec<Sid>,
    /// Their members do not get it, on servers of ours.
    pub(crate) except_rooms: Vec<Room>,
    pub(crate) volatile: bool,
    pub(crate) trace: Option<TraceParent>,
    pub(crate) key: Option<IdempotencyKey>,
}

impl Address {
    pub(crate) fn broadcast(&self, emitter: &Emitter) -> Broadcast {
        let broadcast = emitter.of(&self.namespace).to_all(&self.rooms);
        let broadcast = self.except.iter().fold(broadcast, Broadcast::skip);
        let broadcast = self.except_rooms.iter().fold(broadcast, Broadcast::except);
        let broadcast = self.trace.into_iter().fold(broadcast, Broadcast::traceparent);
        let broadcast = self.key.iter().fold(broadcast, Broadcast::idempotency_key);
        if self.volatile { broadcast.volatile() } else { broadcast }
    }
}

fn emit_plan(args: EmitArgs, quiet: bool) -> Result<EmitPlan, Failure> {
    // What was meant as text may have been taken for an option: `--text log -q`.
    if args.text && args.data.is_empty() {
        return Err(Failure::input(
            "--text needs DATA; text that begins with a hyphen stands behind --, as in: sio emit --text EVENT -- -q",
        ));
    }
    let broker = emit_broker_plan(&args, quiet)?;
    let address = address(&args)?;
    let event = event(args.event.as_deref().unwrap_or_default())?;
    let num_acks = args.ack.map(|count| usize::try_from(count.get()).unwrap_or(usize::MAX));
    let payload = data::payload(&args.data, args.text, &args.binary, broker.options.max_message_bytes)?;
    Ok(EmitPlan {
        broker,
        address,
        event,
        payload,
        num_acks,
        receipt: args.receipt,
    })
}

fn lines_plan(args: EmitArgs, quiet: bool) -> Result<LinesPlan, Failure> {
    let address = address(&args)?;
    let format = match (args.event.as_deref(), args.text) {
        (Some(name), text) => LineFormat::Payload {
            event: event(name)?,
            address,
            text,
        },
        (None, false) => LineFormat::Object { address },
        (None, true) => {
            return Err(Failure::input(
                "--text needs an EVENT: without one, each line is a JSON object",
            ));
        }
    };
    if args.rate.is_some_and(|rate| !(0.001..=1e9).contains(&rate)) {
        return Err(Failure::input("--rate is a number of events a second, from 0.001 on"));
    }
    let broker = emit_broker_plan(&args, quiet)?;
    Ok(LinesPlan {
        broker,
        format,
        events_per_second: args.rate,
        keep_going: args.keep_going,
        results: args.results,
    })
}

fn control_plan(args: NamespaceArgs, action: Action, quiet: bool) -> Result<Plan, Failure> {
    let namespace = namespace(&args.namespace)?;
    Ok(Plan::Control(ControlPlan {
        broker: wired_broker_plan(args, quiet)?,
        namespace,
        action,
    }))
}

fn address(args: &EmitArgs) -> Result<Address, Failure> {
    Ok(Address {
        namespace: namespace(&args.namespace)?,
        rooms: args.room.iter().map(Room::from).collect(),
        except: args.except.iter().map(|id| Sid::from(id.as_str())).collect(),
        except_rooms: args.except_room.iter().map(Room::from).collect(),
        volatile: args.volatile,
        trace: trace::find(args.traceparent.as_deref())?,
        key: args.idempotency_key.as_deref().map(key).transpose()?,
    })
}

fn namespace(name: &str) -> Result<NamespaceName, Failure> {
    NamespaceName::new(name).map_err(|error| Failure::input(error.to_string()))
}

fn key(key: &str) -> Result<IdempotencyKey, Failure> {
    IdempotencyKey::new(key).map_err(|error| Failure::input(format!("--idempotency-key: {error}")))
}

fn event(name: &str) -> Result<EventName, Failure> {
    EventName::new(name).map_err(|error| Failure::input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use clap::Parser;

    fn plan(line: &[&str]) -> Result<Plan, Failure> {
        Plan::new(Args::try_parse_from([&["sio"], line].concat()).unwrap())
    }

    fn refused(line: &[&str]) -> String {
        let failure = plan(line).unwrap_err();
        assert_eq!(failure.code(), 2, "{line:?}");
        failure.to_string()
    }

    #[test]
    fn an_event_with_rooms_arguments_and_everything() {
        let line = [
            "emit",
            "-n",
            "/chat",
            "-r",
            "a",
            "-r",
            "b",
            "--except",
            "id",
            "--except-room",
            "c",
            "--volatile",
            "--idempotency-key",
            "job-7",
            "--ack",
            "2",
            "news",
            "1",
            "[\"x\"]",
        ];
        let Ok(Plan::Emit(plan)) = plan(&line) else {
            panic!("no plan")
        };
        assert_eq!(plan.address.namespace.as_str(), "/chat");
        assert_eq!(plan.address.rooms, [Room::from("a"), Room::from("b")]);
        assert_eq!(plan.address.except, [Sid::from("id")]);
        assert_eq!(plan.address.except_rooms, [Room::from("c")]);
        assert!(plan.address.volatile);
        assert_eq!(plan.address.key, Some(IdempotencyKey::new("job-7").unwrap()));
        assert_eq!(plan.payload.json(), "[1,[\"x\"]]");
        assert_eq!((plan.event.as_str(), plan.num_acks), ("news", Some(2)));
        assert_eq!(plan.broker.timeout(), Duration::from_secs(10));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert!(refused(&["emit", "connect"]).contains("reserved"));
        assert!(refused(&["emit", ""]).contains("empty"));
        assert!(refused(&["emit", "-n", "chat", "news"]).contains("must begin with '/'"));
        assert!(refused(&["emit", "news", "--idempotency-key", ""]).contains("must not be empty"));
        let long = "k".repeat(129);
        assert!(refused(&["emit", "news", "--idempotency-key", &long]).contains("over the limit of 128"));
        assert!(refused(&["emit", "news", "--channel", ""]).contains("--channel"));
        assert!(refused(&["emit", "--lines", "--text"]).contains("EVENT"));
        assert!(refused(&["emit", "--text", "log", "-q"]).contains("--text EVENT -- -q"));
        #[cfg(feature = "serve")]
        assert!(refused(&["serve", "--origin", "app.example/"]).contains("--origin"));
        #[cfg(feature = "serve")]
        assert!(refused(&["serve", "-n", "chat"]).contains("namespace"));
        #[cfg(feature = "serve")]
        assert!(refused(&["serve", "--listen", "nowhere"]).contains("--listen: expected HOST:PORT"));
        #[cfg(feature = "serve")]
        assert!(refused(&["serve", "--listen", "0.0.0.0:3000"]).contains("--open"));
        #[cfg(feature = "serve")]
        assert!(refused(&["serve", "--tls-cert", "a.pem"]).contains("tls.key"));
        #[cfg(feature = "serve")]
        assert!(refused(&["config", "check", "--admin-ui"]).contains("SIO_ADMIN_UI_PASSWORD_FILE"));
        assert!(refused(&["emit", "--lines", "--rate", "0", "x"]).contains("--rate"));
        assert!(refused(&["close-room", "a", "-n", "x"]).contains("namespace"));
    }

    #[test]
    fn unknown_schemes_are_refused_with_the_known_ones() {
        let said = refused(&["emit", "--url", "mqtt://me:secret@h", "news"]);
        assert!(said.contains("mqtt") && said.contains("redis+sentinel"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn what_contradicts_itself_is_no_command_line() {
        for line in [
            &["emit"][..],
            &["emit", "--lines", "news", "1"],
            &["emit", "--lines", "--ack", "1", "news"],
            &["emit", "--lines", "--idempotency-key", "k", "news"],
            &["emit", "--rate", "1", "news"],
            &["emit", "--ack", "0", "news"],
            &["-q", "-v", "emit", "news"],
            &["demo", "--count", "0"],
            &["serve", "--open=perhaps", "--unknown"],
        ] {
            assert!(Args::try_parse_from([&["sio"], line].concat()).is_err(), "{line:?}");
        }
    }
}
