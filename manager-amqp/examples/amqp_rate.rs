//! Measures awaited publishes per second, and how fast a subscription takes messages in.
//!
//! `amqp_rate URL [publishes] [in flight] [message bytes] [listen]`

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, Incoming, Subscription};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "amqp://127.0.0.1:5672".to_owned());
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, in_flight, len) = (number(400_000)?, number(2000)?, number(300)?);
    let listens = arguments.next().is_some();

    let manager = Arc::new(AmqpManager::new(&url, AmqpOptions::default())?);
    let message = Bytes::from(vec![b'x'; len]);
    manager.publish(message.clone()).await?;
    let listening = match listens {
        true => Some(tokio::spawn(receive(manager.subscribe().await?, count))),
        false => None,
    };

    let started = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|_| tokio::spawn(publish(manager.clone(), message.clone(), count / in_flight)))
        .collect();
    for caller in callers {
        caller.await??;
    }
    let count = count / in_flight * in_flight;
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!("{rate:.0} publishes/s, {in_flight} in flight, {len} bytes each");
    if let Some(listening) = listening {
        manager.close().await?;
        let (received, gaps) = listening.await?;
        let rate = received as f64 / started.elapsed().as_secs_f64();
        println!("{received} received, {gaps} gaps, {rate:.0}/s");
    }
    Ok(())
}

async fn publish(manager: Arc<AmqpManager>, message: Bytes, count: usize) -> Result<(), manager_api::Error> {
    for _ in 0..count {
        manager.publish(message.clone()).await?;
    }
    Ok(())
}

async fn receive(mut subscription: Subscription, count: usize) -> (usize, usize) {
    let (mut received, mut gaps) = (0, 0);
    while received < count {
        match subscription.recv().await {
            Some(Incoming::Message(_)) => received += 1,
            Some(_) => gaps += 1,
            None => break,
        }
    }
    (received, gaps)
}
