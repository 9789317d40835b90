#![doc = include_str!("../README.md")]
//!
//! This library holds the common parts of these programs, first of all the [chat].

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use siokit::server::service::{PacedStream, PeerAddr};
use siokit::{ClientManager, ConnectOptions, Data, Payload, Socket, SocketIo};
use tokio::net::TcpListener;

/// The error that ends a program.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes a chat: `join` enters a room, `say` emits `said` to a room, `echo` answers with its arguments, `who` with the process' number, `count`
/// with that of the clients of this server, `where` with the address of the connection, if it is known, `forwarded` with the client's address as the proxy in
/// front of the server saw it.
///
/// With `REDIS_URL` it shares its rooms with every other server there, on the channel `CHANNEL` or the usual one.
///
/// # Errors
///
/// If the URL cannot be used.
pub fn chat() -> Result<SocketIo, Failure> {
    let mut builder = SocketIo::builder();
    if std::env::var_os("REDIS_URL").is_some() {
        builder = builder.manager(redis()?);
    }
    let io = builder.build();
    io.namespace("/")
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| true)
        })
        .on(
            "say",
            async |socket: Socket, Data((room, text)): Data<(String, String)>| {
                socket.to(room).emit("said", &text).await
            },
        )
        .on("echo", async |arguments: Payload| arguments)
        .on("who", async || std::process::id())
        .on("where", async |peer: Option<PeerAddr>| {
            peer.map(|PeerAddr(address)| address.to_string())
        })
        .on("forwarded", async |socket: Socket| {
            let headers = socket.handshake().headers();
            // The last entry of the last line: those before it are claims of the client.
            let line = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
            let entry = line.rsplit(',').next()?;
            Some(entry.trim().to_owned())
        })
        .on("count", async |socket: Socket, io: SocketIo| {
            io.namespace(socket.namespace().as_str()).num_clients()
        });
    Ok(io)
}

/// Serves on the [address] of the command line until the process is [asked to end](stopped).
///
/// # Errors
///
/// If the address cannot be used.
pub async fn serve(io: SocketIo) -> Result<(), Failure> {
    let listener = TcpListener::bind(address()).await?;
    let stopped = stopped();
    io.ready().await; // a server over a broker hears the others from now on
    announce(listener.local_addr()?);
    siokit::serve(listener, io, stopped).await?;
    Ok(())
}

/// Makes a manager over Redis, with the URL `REDIS_URL` (`redis://localhost`) and the channel `CHANNEL`, or the usual one.
///
/// # Errors
///
/// If the URL cannot be used.
pub fn redis() -> Result<Arc<dyn ClientManager>, Failure> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://localhost".to_owned());
    let mut options = ConnectOptions::default();
    if let Ok(channel) = std::env::var("CHANNEL") {
        options.common.channel = channel;
    }
    Ok(siokit::connect_with(&url, options)?)
}

/// Returns the first argument, the address to listen on; `127.0.0.1:3000` without one.
#[must_use]
pub fn address() -> String {
    argument(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned())
}

/// Returns an argument of the command line.
#[must_use]
pub fn argument(number: usize) -> Option<String> {
    std::env::args().nth(number)
}

/// Returns the next connection of a listener. An error is reported, and accepting tried again after a moment: it concerns one connection, or too many
/// open files, which connections that end resolve; the server continues.
///
/// ```no_run
/// # async fn example(listener: tokio::net::TcpListener) {
/// let (stream, peer) = examples::accepted(|| listener.accept()).await;
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future loses no connection.
pub async fn accepted<T>(mut accept: impl AsyncFnMut() -> io::Result<T>) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => log(format_args!("cannot accept a connection: {error}")),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// How long accepting pauses after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Prints that connections are accepted now.
pub fn announce(address: impl Display) {
    say(format_args!("listening on {address}"));
}

/// Prints a line. If standard output is closed or full, the program runs all the same: `println!` would end it.
pub fn say(what: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

/// Prints a failure on standard error. If that is closed or full, the server continues: `eprintln!` would end the task, or the
/// program. A production server should use `tracing`, with a writer that does not wait for its reader.
pub fn log(what: impl Display) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// Returns a future that completes with a signal to end: Ctrl-C, or SIGTERM as service managers send it.
///
/// Both count from now on, so call it before the program says that it runs.
///
/// # Panics
///
/// If signals cannot be handled.
#[cfg(unix)]
pub fn stopped() -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let handle = |kind| signal(kind).expect("signals can be handled");
    let (mut interrupted, mut terminated) = (handle(SignalKind::interrupt()), handle(SignalKind::terminate()));
    async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    }
}

/// Returns a future that completes with Ctrl-C.
#[cfg(not(unix))]
pub fn stopped() -> impl Future<Output = ()> + Send + 'static {
    async { drop(tokio::signal::ctrl_c().await) }
}

/// The longest time without progress of a response that its client does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Wraps a stream, so that the connection of a client that does not read its responses is closed, as `siokit::serve` does.
pub fn paced<S>(stream: S) -> PacedStream<S> {
    PacedStream::new(stream, WRITE_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::process::Command;

    #[tokio::test]
    async fn an_error_of_accepting_does_not_end_the_server() {
        let mut results = [Err(io::Error::other("too many open files")), Ok("a connection")].into_iter();
        let accepted = super::accepted(async || results.next().expect("asked no more than twice")).await;
        assert_eq!(accepted, "a connection");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_error_that_cannot_be_told_does_not_end_the_server() {
        let full = || File::options().write(true).open("/dev/full").expect("a device");
        let test = "tests::an_error_of_accepting_does_not_end_the_server";
        let mut again = Command::new(std::env::current_exe().expect("this test has a program"));
        let again = again.args(["--exact", test, "--nocapture"]).stderr(full());
        let done = again.output().expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }
}
