//! The binary as its users run it: arguments, input, exit codes, output; over the embedded broker.

#[cfg(feature = "serve")]
mod connect;
#[cfg(feature = "serve")]
mod dead_output;
mod doctor;
mod emit;
#[cfg(feature = "serve")]
mod hosting;
mod input;
#[cfg(feature = "serve")]
mod inspect;
mod lines;
mod listen;
#[cfg(all(target_os = "linux", feature = "serve"))]
mod memory;
#[cfg(not(feature = "serve"))]
mod no_server;
mod observed;
#[cfg(feature = "serve")]
mod paused_output;
#[cfg(all(target_os = "linux", feature = "serve"))]
mod pipes;
mod refusals;
mod results;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod settings;
mod support;
#[cfg(all(target_os = "linux", feature = "serve"))]
mod token;

use support::Sio;

#[tokio::test]
async fn help_completions_and_version_need_no_broker() {
    for (line, expected) in [
        (&["--help"][..], "Examples:"),
        (&["emit", "--help"], "sio emit --lines"),
        #[cfg(feature = "serve")]
        (&["serve", "--help"], "Examples:"),
        (&["help", "emit"], "sio emit --lines"),
        (&["--help"], "143"),
        (&["--version"], "redis+sentinel"),
        (&["doctor", "--help"], "docs/doctor.md"),
        (&["listen", "--help"], "--count"),
        #[cfg(feature = "connect")]
        (&["connect", "--help"], "connect_error"),
        (&["completions", "bash"], "_sio()"),
        (&["completions", "zsh"], "#compdef sio"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let done = Sio::new(line).run("").await;
        assert_eq!(done.code, 0, "{line:?}");
        assert!(done.stdout.contains(expected), "{line:?}: {}", done.stdout);
        let mut closed = Sio::new(line).start();
        closed.close_stdout();
        assert_eq!(closed.finish().await.code, 0, "{line:?} into a closed pipe");
    }
}
