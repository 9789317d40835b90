//! Fleets, bridges between them, and managers that a test interrupts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::memory::{MemoryBus, MemoryManager};
use manager_api::message::{Emit, Envelope, Message};
use manager_api::wire::python;
use manager_api::{ClientManager, Error, ErrorKind, EventName, Health, HostId, Incoming, NamespaceName};
use manager_api::{Payload, Subscription};
use node_wire::NodeWire;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::timeout;

use crate::probes::PROBE;
use crate::{Bridge, BridgeDuty, Side};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A manager that a test interrupts. Clones are the same.
#[derive(Clone)]
pub(super) struct Tap {
    inner: Arc<MemoryManager>,
    /// Held while a publish waits, so that others keep their order behind it.
    turn: Arc<Mutex<()>>,
    /// Publishes wait while it is false.
    is_open: Arc<watch::Sender<bool>>,
    /// What is published is thrown away, as if it was accepted and then lost.
    is_mute: Arc<AtomicBool>,
    /// Publishes fail: the broker cannot be reached.
    is_unreachable: Arc<AtomicBool>,
    /// Publishes are refused: a right is missing.
    is_forbidden: Arc<AtomicBool>,
    /// What arrives is thrown away, and a gap is reported for it.
    is_deaf: Arc<AtomicBool>,
    /// What arrives waits while it is true.
    is_late: Arc<watch::Sender<bool>>,
    /// The next publish panics, as a defect would.
    is_defective: Arc<AtomicBool>,
    /// How many publishes have begun.
    pub(super) num_publishes: Arc<AtomicUsize>,
    /// What was sent to a broker that is frozen, and reads it when it goes on; `None` while it runs.
    frozen: Arc<std::sync::Mutex<Option<Vec<Bytes>>>>,
}

impl Tap {
    pub(super) fn new(bus: &MemoryBus, channel: &str) -> Self {
        Self {
            inner: Arc::new(bus.manager(channel)),
            turn: Arc::default(),
            is_open: Arc::new(watch::Sender::new(true)),
            is_mute: Arc::default(),
            is_unreachable: Arc::default(),
            is_forbidden: Arc::default(),
            is_deaf: Arc::default(),
            is_late: Arc::new(watch::Sender::new(false)),
            is_defective: Arc::default(),
            num_publishes: Arc::default(),
            frozen: Arc::default(),
        }
    }

    pub(super) fn block(&self, is_blocked: bool) {
        self.is_open.send_replace(!is_blocked);
    }

    /// Cuts it off, in both directions.
    pub(super) fn cut(&self, is_cut: bool) {
        self.is_mute.store(is_cut, Ordering::SeqCst);
        self.deafen(is_cut);
    }

    /// Fails publishes as a manager does that cannot reach its broker.
    pub(super) fn refuse(&self, is_unreachable: bool) {
        self.is_unreachable.store(is_unreachable, Ordering::SeqCst);
    }

    /// Refuses publishes as a broker does that withholds a right.
    pub(super) fn forbid(&self, is_forbidden: bool) {
        self.is_forbidden.store(is_forbidden, Ordering::SeqCst);
    }

    /// Freezes the broker: it accepts what is sent, and says nothing about it.
    pub(super) fn freeze(&self) {
        *self.frozen.lock().unwrap() = Some(Vec::new());
    }

    /// Lets the broker go on, with what was sent meanwhile.
    pub(super) async fn thaw(&self) {
        let sent = self.frozen.lock().unwrap().take();
        for message in sent.into_iter().flatten() {
            self.inner.publish(message).await.unwrap();
        }
    }

    /// Makes the next publish panic.
    pub(super) fn break_down(&self) {
        self.is_defective.store(true, Ordering::SeqCst);
    }

    /// Lets what arrives wait.
    pub(super) fn delay(&self, is_late: bool) {
        self.is_late.send_replace(is_late);
    }

    pub(super) fn deafen(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }
}

#[async_trait]
impl ClientManager for Tap {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.num_publishes.fetch_add(1, Ordering::SeqCst);
        assert!(!self.is_defective.swap(false, Ordering::SeqCst), "a defect, on command");
        // Not subject to the task's budget: the first poll decides the order.
        let turn = unconstrained(self.turn.lock()).await;
        let mut is_open = self.is_open.subscribe();
        let _ = unconstrained(is_open.wait_for(|is_open| *is_open)).await;
        let is_frozen = {
            let mut frozen = self.frozen.lock().unwrap();
            frozen.as_mut().map(|sent| sent.push(message.clone())).is_some()
        };
        if is_frozen {
            drop(turn);
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Err(Error::new(ErrorKind::Timeout, "frozen, on command").possibly_published());
        }
        if self.is_unreachable.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Connect, "unreachable, on command"));
        }
        if self.is_forbidden.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Publish, "forbidden, on command").refused());
        }
        match self.is_mute.load(Ordering::SeqCst) {
            true => Ok(()),
            false => self.inner.publish(message).await,
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let mut inner = self.inner.subscribe().await?;
        let (sender, subscription) = Subscription::channel(1 << 20);
        let (is_deaf, mut is_late) = (self.is_deaf.clone(), self.is_late.subscribe());
        tokio::spawn(async move {
            while let Some(incoming) = inner.recv().await {
                let _ = is_late.wait_for(|is_late| !*is_late).await;
                let is_deaf = is_deaf.load(Ordering::SeqCst);
                let passed = match incoming {
                    Incoming::Message(message) if !is_deaf => sender.message(message).await.is_ok(),
                    _ => sender.gap("on command").is_ok(),
                };
                if !passed {
                    return;
                }
            }
        });
        Ok(subscription)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// A bridge that runs.
pub(super) struct Running {
    pub(super) bridge: Bridge,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(super) fn start(bridge: Bridge) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn({
            let bridge = bridge.clone();
            async move { bridge.run(async { drop(stopped.await) }).await }
        });
        let stop = Some(stop);
        Self { bridge, stop, task }
    }

    /// Ends it as a signal does.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        drop(self.stop.take());
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(self) -> Result<(), Error> {
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Ends it as a crash does.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(super) fn is(&self, duty: BridgeDuty) -> bool {
        self.bridge.status().duty == duty
    }

    /// Waits until it is ready with a duty.
    pub(super) async fn until(&self, duty: BridgeDuty) {
        let is_so = || {
            let status = self.bridge.status();
            status.duty == duty && status.is_ready
        };
        let waited = timeout(PATIENCE, async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{:?}", self.bridge.status());
    }

    /// Counts the messages that were forwarded in all directions, and those that were lost.
    pub(super) fn counted(&self) -> (u64, u64) {
        let status = self.bridge.status();
        let pairs = status.pairs.iter();
        pairs.fold((0, 0), |(forwarded, lost), pair| {
            (forwarded + pair.forwarded, lost + pair.lost())
        })
    }
}

/// Starts a bridge without another one between channels of a bus.
pub(super) async fn bridge(bus: &MemoryBus, name: &str, channels: &[&str]) -> Running {
    let side = |channel: &&str| Side::new(*channel, bus.manager(*channel));
    let builder = channels
        .iter()
        .map(side)
        .fold(Bridge::builder().name(name), |builder, side| builder.side(side));
    let running = Running::start(builder.build().unwrap());
    running.until(BridgeDuty::Active).await;
    running
}

/// A bridge of several between the channels `a` and `b`, and its managers.
pub(super) struct Twin {
    pub(super) running: Running,
    pub(super) a: Tap,
    pub(super) b: Tap,
    pub(super) control: Tap,
}

impl Twin {
    pub(super) fn start(bus: &MemoryBus) -> Self {
        Self::with_first_side(bus, "a")
    }

    /// Starts one that gives its first side a name.
    pub(super) fn with_first_side(bus: &MemoryBus, name: &str) -> Self {
        let [a, b, control] = ["a", "b", "control"].map(|channel| Tap::new(bus, channel));
        let bridge = Bridge::builder()
            .name("twins")
            .side(Side::new(name, a.clone()))
            .side(Side::new("b", b.clone()))
            .control(control.clone())
            .build()
            .unwrap();
        let running = Running::start(bridge);
        Self { running, a, b, control }
    }

    /// Starts two, and returns the active one and the standby.
    pub(super) async fn pair(bus: &MemoryBus) -> (Self, Self) {
        let (one, other) = (Self::start(bus), Self::start(bus));
        let (active, standby) = loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if one.running.is(BridgeDuty::Active) {
                break (one, other);
            }
            if other.running.is(BridgeDuty::Active) {
                break (other, one);
            }
        };
        standby.running.until(BridgeDuty::Standby).await;
        (active, standby)
    }
}

/// A process of a fleet: it emits numbered events, and sees those that come from elsewhere.
pub(super) struct Member {
    pub(super) host: HostId,
    pub(super) manager: MemoryManager,
    pub(super) subscription: Subscription,
}

impl Member {
    pub(super) async fn of(bus: &MemoryBus, channel: &str) -> Self {
        let manager = bus.manager(channel);
        let subscription = manager.subscribe().await.unwrap();
        Self {
            host: HostId::random(),
            manager,
            subscription,
        }
    }

    pub(super) async fn emit(&self, number: u32) {
        self.send(Message::Emit(event(number))).await;
    }

    pub(super) async fn send(&self, message: Message) {
        let bytes = python::encode(&Envelope::new(Some(self.host.clone()), message));
        self.manager.publish(bytes).await.unwrap();
    }

    /// Waits for the next message that is not its own, and not about presence.
    pub(super) async fn next(&mut self) -> Envelope {
        loop {
            let incoming = timeout(PATIENCE, self.subscription.recv()).await;
            let Some(Incoming::Message(bytes)) = incoming.expect("a message within five minutes") else {
                continue;
            };
            let envelope = python::decode(&bytes).unwrap();
            let is_probe = matches!(&envelope.message, Message::Emit(emit) if emit.event.as_str() == PROBE);
            if !is_probe && !envelope.message.is_presence() && envelope.host_id.as_ref() != Some(&self.host) {
                return envelope;
            }
        }
    }

    /// Waits for events up to that of number `last`, and returns the numbers.
    pub(super) async fn numbers_up_to(&mut self, last: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&last) {
            if let Message::Emit(emit) = self.next().await.message {
                numbers.push(emit.payload.parse().unwrap());
            }
        }
        numbers
    }
}

/// Returns an event with a number.
pub(super) fn event(number: u32) -> Emit {
    let payload = Payload::new(&number).unwrap();
    Emit::new(NamespaceName::root(), EventName::new("numbered").unwrap(), payload)
}

/// Returns all wires of servers on Node.
pub(super) fn node_wires() -> [NodeWire; 4] {
    [
        NodeWire::classic(),
        NodeWire::sharded(),
        NodeWire::streams(),
        NodeWire::streams_before_0_3(),
    ]
}
