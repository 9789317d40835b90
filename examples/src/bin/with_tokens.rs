//! Access by token, and an HTTP API for workers: `with_tokens [ADDRESS]`, with the secret of tokens in
//! `TOKEN_SECRET` and the key of the API in `API_KEY`.
//!
//! ```js
//! const client = io("http://127.0.0.1:3000", { auth: { token } }); // {"sub": "ada", "exp": …, "rooms": ["order:*"]}
//! await client.emitWithAck("join", "order:7"); // "ok"
//! await client.emitWithAck("close order", 7); // "closed", or "not allowed" without "publish" in the token
//! ```
//!
//! ```console
//! $ curl http://127.0.0.1:3000/api/emit -H "Authorization: Bearer $API_KEY" -d '{"event": "news", "rooms": "order:7"}'
//! ```

use examples::Failure;
use gateway::access::{Access, AccessConfig, Grants, Key};
use gateway::api::{Api, ApiConfig, ApiKey};
use siokit::server::service::serve_with;
use siokit::{Data, Socket, SocketIo};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let keys = Key::secret(std::env::var("TOKEN_SECRET")?)?.into();
    let access = Access::new(&keys, AccessConfig::default())?;
    let io = SocketIo::new();
    let orders = io.namespace("/");
    // Who has no good token is refused; joining and publishing is as the token says.
    access.protect(&orders).rooms(&orders);
    // A handler of one's own asks for the grants.
    orders.on(
        "close order",
        async |socket: Socket, grants: Grants, Data(order): Data<u64>| {
            let room = format!("order:{order}");
            if !grants.may_publish(&room) {
                return Ok("not allowed");
            }
            let by = grants.subject().unwrap_or("unknown");
            socket.to(room).emit("closed", by).await.map(|()| "closed")
        },
    );

    let api_key = ApiKey::new(&std::env::var("API_KEY")?)?;
    let api = Api::new(io.clone(), [api_key], ApiConfig::default());
    let listener = TcpListener::bind(examples::address()).await?;
    let stopped = examples::stopped();
    examples::announce(listener.local_addr()?);
    serve_with(listener, io, api.service(), stopped).await?;
    Ok(())
}
