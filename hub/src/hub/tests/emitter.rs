//! Emitters that expect acknowledgements and responses.

use super::subscription::Fickle;
use super::*;
use manager_api::wire::python;

#[tokio::test(start_paused = true)]
async fn an_emitter_whose_subscription_ended_subscribes_again_before_the_next_request() {
    let manager = Fickle::new(&MemoryBus::new(), false);
    let emitter = Emitter::new(manager.clone());
    for round in 1..=2 {
        for _ in 0..2 {
            drop(emitter.broadcast().emit_with_ack("q", &()).await.unwrap());
            assert_eq!(manager.num_subscribed(), round);
        }
        *manager.current.lock().unwrap() = None;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_emitter_looks_for_the_servers_again_once_it_may_have_missed_some() {
    let (bus, _one, _two) = two_hosts().await;
    let watcher = bus.manager("c");
    let mut watching = watcher.subscribe().await.unwrap();
    let mut num_seeks = move || {
        let mut seeks = 0;
        while let Some(incoming) = watching.try_recv() {
            let Incoming::Message(message) = incoming else { continue };
            seeks += u64::from(python::decode(&message).unwrap().message == Message::Seek);
        }
        seeks
    };
    let emitter = Emitter::new(bus.manager("c"));
    for expected in [1, 0] {
        assert_eq!(emitter.servers(Duration::from_secs(20)).await.unwrap().found.len(), 2);
        assert_eq!(num_seeks(), expected);
    }
    bus.stop();
    bus.start();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for expected in [1, 0] {
        assert_eq!(emitter.servers(Duration::from_secs(20)).await.unwrap().found.len(), 2);
        assert_eq!(num_seeks(), expected);
    }
}
