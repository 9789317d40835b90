//! The programs that a suite starts.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The socket calls alone
    Floor,
    /// This project
    Sio,
    /// This project with everything on that operators have: metrics, health, a log in JSON
    Observed,
    /// socketioxide, with axum
    Socketioxide,
    /// socket.io, with Node.js
    Node,
    /// python-socketio, with uvicorn or, on Kafka, threads
    Python,
    /// python-socketio on RabbitMQ with kombu rather than aio_pika, with threads
    Kombu,
    /// The broker's own benchmark tool, where emitters are measured
    Tool,
}

impl Kind {
    /// Returns the name in tables and result files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Sio => "sio",
            Self::Observed => "observed",
            Self::Socketioxide => "socketioxide",
            Self::Node => "node",
            Self::Python => "python",
            Self::Kombu => "kombu",
            Self::Tool => "tool",
        }
    }

    /// Returns the URL of a broker as the programs of this target want it.
    pub(super) fn url(self, url: &str) -> String {
        match self {
            Self::Kombu => url.replacen("amqp://", "amqp+kombu://", 1),
            _ => url.to_owned(),
        }
    }

    /// Returns the command of the server, without port and broker; nothing where there is none.
    pub(super) fn server(self) -> Vec<OsString> {
        match self {
            Self::Floor => vec![own(), "floor".into()],
            Self::Sio => vec![own(), "serve".into()],
            Self::Observed => vec![own(), "serve".into(), "--observed".into()],
            Self::Socketioxide => vec![peer("socketioxide/target/release/server")],
            Self::Node => vec![program("SIO_TEST_NODE", "node"), peer("node/server.js")],
            Self::Python | Self::Kombu => vec![program("SIO_BENCH_PYTHON", "python3"), peer("python/server.py")],
            Self::Tool => Vec::new(),
        }
    }

    /// Returns the command of the emitter, without broker and number of messages; nothing where there is none.
    pub(super) fn emitter(self) -> Vec<OsString> {
        match self {
            Self::Floor | Self::Tool => Vec::new(),
            Self::Sio | Self::Observed => vec![own(), "emit".into()],
            Self::Socketioxide => vec![peer("socketioxide/target/release/emit")],
            Self::Node => vec![program("SIO_TEST_NODE", "node"), peer("node/emit.js")],
            Self::Python | Self::Kombu => vec![program("SIO_BENCH_PYTHON", "python3"), peer("python/emit.py")],
        }
    }
}

fn own() -> OsString {
    env::current_exe().map_or_else(|_| "sio-bench".into(), PathBuf::into_os_string)
}

fn program(variable: &str, default: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| default.into())
}

fn peer(path: &str) -> OsString {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(path)
        .into_os_string()
}
