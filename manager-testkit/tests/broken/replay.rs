//! Logs that are broken on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::memory::{MemoryBus, MemoryLog, MemoryManager};
use manager_api::replay::{Epoch, Placed, Position, Replay, Replayed, Start};
use manager_api::subscription::SubscriptionSender;
use manager_api::{ClientManager, Error, Incoming, ManagerOptions, Subscription};
use manager_testkit::{Backend, Flaky, OnLink, conformance};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Each reader counts positions by itself.
    NumbersByItself,
    /// Messages of two publishers change places for one reader of two.
    Swaps,
    /// The last message of the past comes again as the first new one.
    DoublesAtTheSeam,
    /// The first new message is not there.
    LosesAtTheSeam,
    NamesAnotherLast,
    /// What does not fit into the buffer is not there.
    DropsWhatIsSlow,
    HidesGaps,
    /// It goes on at the end.
    ForgetsTheRestOfAnotherLog,
    LosesTheSecond,
    StaysWhenItIsDropped,
}

struct Broken(MemoryBus, Fault);

impl Broken {
    fn on(&self, inner: Flaky<MemoryManager>, options: ManagerOptions) -> Arc<dyn ClientManager> {
        Arc::new(BrokenManager {
            inner,
            options,
            fault: self.1,
            num_readers: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Backend for Broken {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        self.on(Flaky::new(self.0.manager_with(options.clone())), options)
    }

    async fn stop(&self) {
        self.0.stop();
    }

    async fn start(&self) {
        self.0.start();
    }

    async fn freeze(&self) -> bool {
        self.0.stop();
        true
    }

    async fn thaw(&self) {
        self.0.start();
    }

    async fn manager_on_link(&self, options: ManagerOptions) -> Option<OnLink> {
        let inner = Flaky::new(self.0.manager_with(options.clone()));
        Some((self.on(inner.clone(), options), Box::new(inner)))
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        self.0.num_subscribers(channel)
    }
}

struct BrokenManager {
    inner: Flaky<MemoryManager>,
    options: ManagerOptions,
    fault: Fault,
    num_readers: AtomicUsize,
}

#[async_trait]
impl ClientManager for BrokenManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.inner.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.inner.subscribe().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn replay(&self) -> Option<&dyn Replay> {
        Some(self)
    }
}

#[async_trait]
impl Replay for BrokenManager {
    async fn read_from(&self, start: Start) -> Result<Replayed, Error> {
        let replay = self.inner.replay().expect("the bus has a log");
        let number = self.num_readers.fetch_add(1, Ordering::Relaxed);
        let Replayed { messages, mut last, .. } = replay.read_from(start).await?;
        if self.fault == Fault::NamesAnotherLast {
            last = None;
        }
        let (sender, broken) = Subscription::channel_of(self.options.max_buffered_bytes);
        let mut forward = Forward {
            sender,
            fault: self.fault,
            last,
            is_first: number == 0,
            num_received: 0,
            held: None,
        };
        tokio::spawn(async move { forward.all(messages).await });
        Ok(Replayed::new(broken, last))
    }
}

struct Forward {
    sender: SubscriptionSender<Placed>,
    fault: Fault,
    last: Option<Position>,
    is_first: bool,
    num_received: u64,
    held: Option<Placed>,
}

impl Forward {
    async fn all(&mut self, mut inner: Subscription<Placed>) {
        let mut is_over = false;
        loop {
            let incoming = tokio::select! {
                incoming = inner.recv() => incoming,
                () = self.sender.closed(), if self.fault != Fault::StaysWhenItIsDropped => None,
            };
            match incoming {
                None => return,
                Some(Incoming::Message(placed)) if !is_over => self.one(placed).await,
                Some(Incoming::Message(_)) => {}
                Some(_) if self.fault == Fault::HidesGaps => {}
                Some(_) => {
                    is_over = self.fault == Fault::ForgetsTheRestOfAnotherLog;
                    let _ = self.sender.gap("as it came");
                }
            }
        }
    }

    async fn one(&mut self, mut placed: Placed) {
        self.num_received += 1;
        let is_new = self.last.is_some_and(|last| placed.position > last);
        match self.fault {
            Fault::NumbersByItself => {
                placed.position.epoch = Epoch(0);
                placed.position.offset.major = self.num_received;
                placed.position.offset.minor = u64::from(self.is_first);
            }
            Fault::Swaps if self.is_first && self.num_received == 1 => {
                self.held = Some(placed);
                return;
            }
            Fault::LosesAtTheSeam if is_new && self.last.take().is_some() => return,
            Fault::DoublesAtTheSeam if self.last == Some(placed.position) => self.pass(placed.clone()).await,
            Fault::LosesTheSecond if self.num_received == 2 => return,
            Fault::DropsWhatIsSlow => {
                let _ = self.sender.try_message(placed);
                return;
            }
            _ => {}
        }
        self.pass(placed).await;
        if let Some(held) = self.held.take() {
            self.pass(held).await;
        }
    }

    async fn pass(&self, placed: Placed) {
        let _ = self.sender.message(placed).await;
    }
}

macro_rules! noticed {
    ($($fault:ident by $($case:ident)+;)*) => {$(
        #[allow(non_snake_case)]
        mod $fault {
            use super::*;
            $(mod $case {
                use super::*;

                #[tokio::test(start_paused = true)]
                #[should_panic]
                async fn notices() {
                    let backend = Broken(MemoryBus::with_log(MemoryLog::default()), Fault::$fault);
                    conformance::run("broken", conformance::$case(&backend)).await;
                }
            })+
        }
    )*};
}

noticed! {
    NumbersByItself by readers_agree_about_order_and_positions;
    Swaps by readers_agree_about_order_and_positions;
    DoublesAtTheSeam by a_reader_yields_the_past_then_what_is_new;
    LosesAtTheSeam by a_reader_yields_the_past_then_what_is_new;
    NamesAnotherLast by a_reader_yields_the_past_then_what_is_new readers_agree_about_order_and_positions;
    DropsWhatIsSlow by a_slow_reader_misses_nothing;
    HidesGaps by a_position_that_is_not_in_the_log_is_a_gap;
    ForgetsTheRestOfAnotherLog by a_position_that_is_not_in_the_log_is_a_gap;
    LosesTheSecond by a_log_is_read_on_after_a_restart a_log_is_read_on_after_a_lost_connection;
    StaysWhenItIsDropped by a_reader_ends_when_it_is_dropped_or_its_manager_closed;
}

/// What is noticed above is noticed because of the fault.
#[tokio::test(start_paused = true)]
async fn a_log_that_is_forwarded_without_a_fault_passes() {
    for case in 0..4 {
        let backend = Broken(MemoryBus::with_log(MemoryLog::default()), Fault::None);
        match case {
            0 => conformance::readers_agree_about_order_and_positions(&backend).await,
            1 => conformance::a_reader_yields_the_past_then_what_is_new(&backend).await,
            2 => conformance::a_slow_reader_misses_nothing(&backend).await,
            _ => conformance::a_position_that_is_not_in_the_log_is_a_gap(&backend).await,
        }
    }
}
