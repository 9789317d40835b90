//! Runs the embedded broker alone: `cargo run -p sio-embedded-broker --example broker -- 127.0.0.1:7379`, then use `redis-cli -p 7379`.

use embedded_broker::Broker;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let broker = Broker::bind(addr).await?;
    println!("{}", broker.url());
    broker
        .run(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await;
    Ok(())
}
