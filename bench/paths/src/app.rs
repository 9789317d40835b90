//! The test application.

use socket_io::manager_api::Payload;
use socket_io::{Data, Socket, SocketIo};

/// Registers the events that every server under test answers in namespace `/`: `echo(data)` acknowledges with `data`; `join(room)` and
/// `leave(room)` acknowledge with `"ok"`.
pub fn register(io: &SocketIo) {
    io.namespace("/")
        .on("echo", async |data: Payload| data)
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| "ok")
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>| {
            socket.leave(room).map(|()| "ok")
        });
}
