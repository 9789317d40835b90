//! Byte limits of queues whose entries have an untrusted size.

use futures_util::FutureExt;

use super::cluster::{DEADLINE, until_known};
use super::*;
use manager_api::cluster::ServerEvent;
use manager_api::wire::Servers;

const MANY: usize = 600;

#[tokio::test(start_paused = true)]
async fn large_acknowledgements_that_are_not_read_fill_no_memory() {
    let recorder = Recorder {
        disconnected: Mutex::default(),
        closed: Mutex::default(),
        panics_at: "",
    };
    let options = HubOptions {
        max_waiting_ack_bytes: 1_000,
        ..HubOptions::default()
    };
    let hub = Hub::new(recorder, None, options);
    let (sent, mut received) = mpsc::unbounded_channel();
    let keys = ["a", "b"].map(|sid| {
        let (sid, sent) = (Sid::from(sid), sent.clone());
        let client = Recorded { sid: sid.clone(), sent };
        let key = hub.registry().add(&NamespaceName::root(), &sid, client).unwrap();
        (sid, key)
    });
    let keys = HashMap::from(keys);
    let mut emit_and_acknowledge = async |len: usize| {
        let acks = hub.broadcast().emit_with_ack("q", &()).await.unwrap();
        for _ in 0..2 {
            let (sid, _, id) = received.recv().await.unwrap();
            let payload = Payload::new(&"x".repeat(len)).unwrap();
            hub.acknowledge(keys[&sid], &sid, id.unwrap(), payload);
        }
        acks
    };
    let mut acks = emit_and_acknowledge(MANY).await;
    assert_eq!(hub.metrics().acks_dropped, 1);
    assert!(acks.next().await.is_some() && acks.next().await.is_none());
    // Larger than the whole budget, but alone.
    let mut acks = emit_and_acknowledge(10 * MANY).await;
    assert_eq!(hub.metrics().acks_dropped, 2);
    assert!(acks.next().await.is_some());
    // Dropping the stream releases its share of the budget.
    drop(emit_and_acknowledge(MANY).await);
    assert_eq!(hub.metrics().acks_dropped, 3);
    assert_eq!(emit_and_acknowledge(MANY / 2).await.all().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn large_responses_of_servers_that_are_not_read_fill_no_memory() {
    use manager_api::cluster::Requester;
    use manager_api::cluster::{ClusterResponse, ResponsePart};
    let options = HubOptions {
        max_waiting_response_bytes: 1_000,
        ..HubOptions::default()
    };
    let me = HostId::from("me");
    let requester = Requester::new(me.clone(), options.request_limits());
    for host in ["one", "two"] {
        requester.peers.record(&host.into());
    }
    requester.peers.start_discovery(Duration::ZERO);
    let deadline = manager_api::deadline::after(Duration::from_millis(100));
    let (id, mut responses) = requester.open(Some(Servers::Announced), deadline).await.unwrap();
    for host in ["one", "two"] {
        let response = Message::Response(ClusterResponse {
            to: me.clone(),
            id,
            part: ResponsePart::Event(Some(Payload::new(&"x".repeat(MANY)).unwrap())),
            number: 0,
            is_last: true,
            is_truncated: false,
        });
        assert!(requester.receive(Some(host.into()), response).is_none());
    }
    assert_eq!(responses.next().await.unwrap().from, HostId::from("one"));
    assert!(responses.next().await.is_none());
    assert_eq!(responses.into_missing(), [HostId::from("two")]);
}

#[tokio::test(start_paused = true)]
async fn large_events_for_a_server_that_wait_for_their_handlers_fill_no_memory() {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    let options = HubOptions {
        max_queued_server_event_bytes: 1_000,
        ..HubOptions::default()
    };
    let (two, _) = Host::start_with(bus.manager("c"), options).await;
    until_known(&one, 1).await;
    let go_on = Arc::new(Notify::new());
    let (handled, mut handles) = mpsc::unbounded_channel();
    let handler = {
        let go_on = go_on.clone();
        move |event: ServerEvent| {
            let (go_on, handled) = (go_on.clone(), handled.clone());
            async move {
                go_on.notified().await;
                handled.send(event.payload.size()).unwrap();
                None
            }
            .boxed()
        }
    };
    two.hub.on_server_event(EventName::new("e").unwrap(), Arc::new(handler));
    let emit = |len: usize| {
        let data = "x".repeat(len);
        let hub = one.hub.clone();
        async move { hub.server_side_emit("e", &data).await.unwrap() }
    };
    let dropped = async |count: u64| {
        let dropped = async {
            while two.hub.metrics().server_events_dropped != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, dropped).await.expect("it is dropped");
    };
    emit(MANY).await;
    emit(MANY).await;
    dropped(1).await;
    go_on.notify_one();
    assert!(handles.recv().await.unwrap() > MANY);
    // Larger than the whole budget, but alone.
    emit(10 * MANY).await;
    emit(0).await;
    dropped(2).await;
    go_on.notify_one();
    assert!(handles.recv().await.unwrap() > 10 * MANY);
}
