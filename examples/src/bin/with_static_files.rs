//! The chat with its web page, and the official client for it, from folders: `with_static_files ADDRESS FOLDER [CLIENT_FOLDER]`.
//!
//! `CLIENT_FOLDER` is the folder `dist` of the package `socket.io-client`; a page finds it at `/client/socket.io.js`.

use examples::Failure;
use siokit::server::static_files::StaticFiles;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = examples::argument(2).ok_or("usage: with_static_files ADDRESS FOLDER [CLIENT_FOLDER]")?;
    let mut files = StaticFiles::new().dir("/", folder);
    if let Some(client) = examples::argument(3) {
        files = files.dir("/client", client);
    }
    let io = examples::chat()?;
    let listener = TcpListener::bind(examples::address()).await?;
    let stopped = examples::stopped();
    io.ready().await;
    examples::announce(listener.local_addr()?);
    siokit::server::service::serve_with(listener, io, files.service(), stopped).await?;
    Ok(())
}
