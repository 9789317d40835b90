//! Emits: their recipients, and the options of their delivery.

use integration::DEADLINE;
use integration::client::{ConnectOptions, Message};
use integration::proxy::TcpProxy;
use serde_json::json;
use socket_io::SocketIo;

use super::Way;
use crate::served::{Served, any_port};
use crate::support::{eventually, within};

by_upgrade! {
    except as an_emit_passes_over_the_members_of_an_excepted_room,
}

by_polling! {
    volatile as a_volatile_emit_is_dropped_for_a_client_that_does_not_read,
    compression as an_emit_is_compressed_unless_told_otherwise,
}

mod over_a_websocket {
    use super::{compression, volatile};

    by_upgrade! {
        volatile as a_volatile_emit_is_dropped_for_a_client_that_does_not_read,
        compression as an_emit_is_compressed_unless_told_otherwise,
    }
}

/// Returns a proxy before a server, and how to connect through it.
async fn through_proxy(way: Way, server: &Served) -> (TcpProxy, ConnectOptions) {
    let (proxy, url) = TcpProxy::before(&server.url()).await;
    let options = ConnectOptions { url, ..way.to(server) };
    (proxy, options)
}

async fn except(way: Way) {
    let mut server = Served::start();
    let (mut quiet, socket) = way.join(&mut server).await;
    let (mut loud, other) = way.join(&mut server).await;
    socket.join("quiet").unwrap();
    for socket in [&socket, &other] {
        socket.join("all").unwrap();
    }
    let all = || server.io.to("all");
    all().except("quiet").emit("of the room", &()).await.unwrap();
    server
        .io
        .broadcast()
        .except("quiet")
        .emit("of all clients", &())
        .await
        .unwrap();
    all().emit("last", &()).await.unwrap();
    assert_eq!(quiet.messages_before("last").await, []);
    let names: Vec<_> = loud.messages_before("last").await.into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["of the room", "of all clients"]);
}

async fn volatile(way: Way) {
    let builder = SocketIo::builder().configure(|config| config.engine.outbox_soft_limit = 64 * 1024);
    let mut server = Served::start_on(any_port(), builder);
    let (proxy, options) = through_proxy(way, &server).await;
    let (mut client, socket) = way.join_with(&mut server, &options).await;
    // Between two polls there is nothing that could take it.
    let reads = || {
        eventually("the client polls", || {
            socket.emit_volatile("tick", &"at once").into_inner().unwrap()
        })
    };
    reads().await;
    assert_eq!(client.next_message(DEADLINE).await.args, [json!("at once")]);

    proxy.stall();
    let text = "x".repeat(20_000);
    let (io, mut num_taken) = (&server.io, 0_u32);
    let num_dropped = || io.metrics().engine.volatile_dropped;
    let before = num_dropped();
    within("one is dropped", async {
        loop {
            let tick = (num_taken, &text);
            io.broadcast().volatile().emit("tick", &tick).await.unwrap();
            if num_dropped() > before {
                break;
            }
            num_taken += 1;
            tokio::task::yield_now().await;
        }
    })
    .await;
    socket.emit("last", &()).await.unwrap();
    proxy.restore();
    let first = |message: Message| message.args[0].clone();
    let ticks: Vec<_> = client.messages_before("last").await.into_iter().map(first).collect();
    let taken: Vec<_> = (0..num_taken).map(|number| json!(number)).collect();
    assert_eq!(ticks, taken);

    reads().await;
    assert_eq!(client.next_message(DEADLINE).await.args, [json!("at once")]);
}

/// Looks at the bytes on the wire: no client can tell.
async fn compression(way: Way) {
    let builder = SocketIo::builder().configure(|config| config.engine.per_message_deflate = true);
    let mut server = Served::start_on(any_port(), builder);
    let (proxy, options) = through_proxy(way, &server).await;
    let (mut client, _socket) = way.join_with(&mut server, &options).await;
    let text = "x".repeat(100_000);
    let mut num_bytes = Vec::new();
    for compress in [true, false] {
        let before = proxy.answered_bytes();
        server
            .io
            .broadcast()
            .compress(compress)
            .emit("text", &text)
            .await
            .unwrap();
        let message = client.next_message(DEADLINE).await;
        // Not `assert_eq`, which would print it all.
        assert!(message.args == [json!(text)], "the text is another one");
        num_bytes.push(proxy.answered_bytes() - before);
    }
    // These two take nothing that is compressed.
    let is_plain = match way.transport() {
        "polling" => way.kind == super::Kind::Node,
        _ => way.kind == super::Kind::Python,
    };
    assert_eq!(num_bytes[0] >= 100_000, is_plain, "{num_bytes:?}");
    assert!(is_plain || num_bytes[0] < 10_000, "{num_bytes:?}");
    assert!(num_bytes[1] >= 100_000, "{num_bytes:?}");
}
