//! The front door with a broker behind it.

#![cfg(feature = "redis")]

use embedded_broker::EmbeddedBroker;
use siokit::manager::{Incoming, ManagerOptions};
use siokit::{Emitter, ErrorKind};

fn on_channel(channel: &str) -> ManagerOptions {
    ManagerOptions {
        channel: channel.to_owned(),
        ..ManagerOptions::default()
    }
}

#[tokio::test]
async fn what_an_emitter_emits_is_heard_on_its_channel_and_on_no_other() {
    let broker = EmbeddedBroker::start("127.0.0.1:0").await.unwrap();
    let [chat, other] = ["chat", "other"].map(|name| siokit::connect_with(broker.url(), on_channel(name)).unwrap());
    let (mut heard, mut unheard) = (chat.subscribe().await.unwrap(), other.subscribe().await.unwrap());
    let emitter = Emitter::new(siokit::connect_with(broker.url(), on_channel("chat")).unwrap());
    emitter.to("lobby").emit("job done", &7).await.unwrap();
    let Some(Incoming::Message(message)) = heard.recv().await else {
        panic!("the subscription ended");
    };
    assert!(
        String::from_utf8_lossy(&message).contains("\"job done\""),
        "{message:?}"
    );
    emitter.close().await.unwrap();
    for manager in [chat, other] {
        manager.close().await.unwrap();
    }
    assert_eq!(unheard.recv().await, None);
    broker.stop().await;
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_before_anything_is_connected() {
    for url in [
        "redis://:hunter2#@h",
        "redis://h?password=hunter2&nonsense=1",
        "mqtt://:hunter2@h",
    ] {
        let error = siokit::connect(url).err().expect("it cannot be used");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
