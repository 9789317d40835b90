//! Presence by rooms: `presence [ADDRESS]`. Each room has a list of those in it, on every server,
//! which their coming and going updates.
//!
//! ```js
//! client.on("entered", (room, name) => …); client.on("left", (room, name) => …);
//! await client.emitWithAck("enter", "kitchen", "Ada"); // [ "Ada", "Grace" ]
//! ```

use examples::Failure;
use siokit::{Data, Error, Socket, SocketIo};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut builder = SocketIo::builder();
    if std::env::var_os("REDIS_URL").is_some() {
        builder = builder.manager(examples::redis()?);
    }
    let io = builder.build();
    io.namespace("/")
        .on("enter", enter)
        .on("leave", leave)
        .on_disconnect(left_all);
    examples::serve(io).await
}

/// Enters a room; the acknowledgement is the list of the names in it.
async fn enter(socket: Socket, Data((room, name)): Data<(String, String)>) -> Result<Vec<String>, Error> {
    socket.set_data(&name)?; // what other servers read of this client
    socket.join(&room)?;
    socket.to(&room).emit("entered", &(&room, &name)).await?;
    let present = socket.io().to(&room).fetch_sockets().await?;
    let mut names: Vec<String> = present.found.iter().filter_map(|other| other.data().ok()?).collect();
    names.sort();
    Ok(names)
}

async fn leave(socket: Socket, Data(room): Data<String>) -> Result<(), Error> {
    socket.leave(&room)?;
    let name: Option<String> = socket.data()?;
    socket.to(&room).emit("left", &(&room, &name)).await
}

/// However a client went: its rooms and its name are still there.
async fn left_all(socket: Socket) -> Result<(), Error> {
    let name: Option<String> = socket.data()?;
    for room in socket.rooms() {
        socket.to(&room).emit("left", &(room.as_str(), &name)).await?;
    }
    Ok(())
}
