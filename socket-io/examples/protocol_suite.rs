//! The server that the official Socket.IO protocol test suite wants: `cargo run -p sio-server --example protocol_suite [ADDRESS]`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use socket_io::manager_api::Payload;
use socket_io::{Auth, Error, Socket, SocketIo};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let io = SocketIo::builder()
        .configure(|config| {
            config.engine.ping_interval = Duration::from_millis(300);
            config.engine.ping_timeout = Duration::from_millis(200);
            // The suite may run in a browser, from wherever its page is served.
            config.engine.cors_allowed_origins = socket_io::config::AllowedOrigins::Any;
            // The suite's own second is too short on a busy machine: one of its tests waits for three pings, 300 ms each,
            // and never connects.
            config.connect_timeout = Duration::from_millis(1500);
        })
        .build();
    io.namespace("/custom").on_connect(greet);
    io.namespace("/")
        .on_connect(greet)
        .on("message", async |socket: Socket, arguments: Payload| {
            socket.emit_payload("message-back", arguments).await
        })
        .on("message-with-ack", async |arguments: Payload| arguments);

    let listener = TcpListener::bind(address).await?;
    // It serves on although standard output is closed or full.
    let _ = writeln!(io::stdout(), "listening on {}", listener.local_addr()?);
    socket_io::serve(listener, io, std::future::pending()).await?;
    Ok(())
}

/// Tells the client what it authenticated with.
async fn greet(socket: Socket, Auth(auth): Auth<Option<Value>>) -> Result<(), String> {
    let auth = auth.unwrap_or_else(|| serde_json::json!({}));
    socket
        .emit("auth", &auth)
        .await
        .map_err(|error: Error| error.to_string())
}
