//! A server of ours among servers of Node.js, in a process of its own: `sio-test-member ADAPTER REDIS_URL PREFIX`.
//!
//! Says `{"event": "listening", "port": N}` once it accepts clients; closes as a server should when its standard input ends.

use integration::node::{NodeAdapter, ours, wire};
use serde_json::json;
use tokio::io::{AsyncReadExt, stdin};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [adapter, url, prefix] = &arguments[..] else {
        return Err("usage: sio-test-member ADAPTER REDIS_URL PREFIX".into());
    };
    let adapters = NodeAdapter::ALL.into_iter();
    let adapter = adapters.into_iter().find(|known| known.name() == adapter);
    let io = ours(url, wire(adapter.ok_or("unknown adapter")?, prefix));
    io.ready().await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!(
        "{}",
        json!({ "event": "listening", "port": listener.local_addr()?.port() })
    );
    let end_of_input = async {
        // Nothing is expected before it; an error is an end, too.
        let _ = stdin().read_to_end(&mut Vec::new()).await;
    };
    socket_io::serve(listener, io, end_of_input).await?;
    Ok(())
}
