//! Middleware: `middleware [ADDRESS]`. Functions that connections and events pass before handlers:
//! they log, refuse, change.
//!
//! ```js
//! const client = io("http://127.0.0.1:3000", { query: { version: "2" } });
//! await client.emitWithAck("say", "  hello ");             // "hello"
//! client.emit("admin: stop");                              // refused: the handler does not run
//! ```

use examples::Failure;
use serde::Deserialize;
use siokit::server::extract::Query;
use siokit::{Data, EventName, Payload, Refusal, Socket, SocketIo};

/// The query that a client adds to the URL.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = SocketIo::new();
    // Middleware of every namespace runs first.
    io.any_namespace().use_event(async |socket: Socket, event: EventName| {
        examples::say(format_args!("{} in {}", event.as_str(), socket.namespace().as_str()));
    });
    io.namespace("/")
        .use_connect(async |Query(Version { version }): Query<Version>| match version {
            2.. => Ok(()),
            _ => Err(Refusal::new("please reload the page")),
        })
        .use_event(async |socket: Socket, event: EventName| {
            !event.as_str().starts_with("admin: ") || socket.rooms().contains(&"admins".into())
        })
        // The event continues with the returned arguments.
        .use_event(async |event: EventName, arguments: Payload| match event.as_str() {
            "say" => arguments.parse::<String>().and_then(|text| Payload::new(text.trim())),
            _ => Ok(arguments),
        })
        .on("say", async |Data(text): Data<String>| text)
        .on("become admin", async |socket: Socket, Data(password): Data<String>| {
            password == "a secret" && socket.join("admins").is_ok()
        })
        .on("admin: stop", async || "stopped");
    examples::serve(io).await
}
