//! Authentication: `auth [ADDRESS]`. A client without a known token is refused, with the reason; one
//! with a token has a name.
//!
//! ```js
//! const client = io("http://127.0.0.1:3000", { auth: { token: "ada's" } });
//! client.on("connect_error", (error) => console.log(error.message, error.data));
//! await client.emitWithAck("who am I?"); // { name: "Ada", visits: 1 }
//! ```

use examples::Failure;
use serde::{Deserialize, Serialize};
use serde_json::json;
use siokit::{Ack, Auth, Refusal, Socket, SocketIo};

/// The `auth` of a client.
#[derive(Deserialize)]
struct Login {
    token: String,
}

/// The client session, kept while the client is connected.
#[derive(Clone, Default, Serialize)]
struct User {
    name: String,
    visits: u32,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = SocketIo::new();
    io.namespace("/")
        .on_connect(async |socket: Socket, Auth(login): Auth<Option<Login>>| {
            let Some(login) = login else {
                return Err(Refusal::new("a token is required"));
            };
            let Some(name) = user_of(&login.token) else {
                return Err(Refusal::new("unknown token").with_data(&json!({ "retry": false })));
            };
            let user = User {
                name: name.to_owned(),
                visits: 0,
            };
            socket
                .save_session(user)
                .map_err(|_| Refusal::new("the client is gone"))
        })
        .on("who am I?", async |socket: Socket| {
            let mut user = socket.session::<User>().await;
            user.visits += 1;
            Ack(user.clone())
        });
    examples::serve(io).await
}

/// Looks a token up; an application would query its database.
fn user_of(token: &str) -> Option<&'static str> {
    match token {
        "ada's" => Some("Ada"),
        "grace's" => Some("Grace"),
        _ => None,
    }
}
