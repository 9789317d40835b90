//! A server of ours among servers of Node.js, in this process or in one of its own (`src/bin/sio-test-member.rs`).

use node_wire::NodeWire;
use socket_io::manager_api::cluster::ServerEvent;
use socket_io::{Data, Socket, SocketIo};

use super::NodeAdapter;
use crate::managers;

/// Returns the wire of servers with that adapter.
#[must_use]
pub fn wire(adapter: NodeAdapter, prefix: &str) -> NodeWire {
    let wire = match adapter {
        NodeAdapter::Classic | NodeAdapter::ClassicSpecific => NodeWire::classic(),
        NodeAdapter::Sharded => NodeWire::sharded(),
        NodeAdapter::Streams => NodeWire::streams(),
        NodeAdapter::Streams02 => NodeWire::streams_before_0_3(),
        NodeAdapter::Postgres => NodeWire::postgres(),
    };
    wire.prefix(prefix).stream(prefix)
}

/// Returns a server of ours with the namespaces of the scripts' servers, and those of their events that tests need.
///
/// # Panics
///
/// When the URL or the wire cannot be used.
#[must_use]
pub fn ours(url: &str, wire: NodeWire) -> SocketIo {
    let manager = managers::on_channel(url, "unused");
    let builder = SocketIo::builder().manager_with_wire(manager, wire);
    let io = builder.expect("the wire is one for this broker").build();
    for namespace in ["/", "/chat"] {
        io.namespace(namespace)
            .on("join", async |socket: Socket, Data(room): Data<String>| {
                socket.join(room).map(|()| true)
            });
    }
    io.on_server_event("ask", async |_: SocketIo, event: ServerEvent| {
        // Null for what is not a number.
        event.parse::<u64>().ok().map(|number| number + 1)
    });
    io
}
