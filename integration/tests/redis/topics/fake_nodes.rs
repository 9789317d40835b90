//! Nodes of a cluster that are not Redis, and redirect when and where a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use manager_api::topics::{Topic, Topics};
use manager_api::{ClientManager, ErrorKind};
use manager_redis::{RedisManager, RedisOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// What a node answers to its first, second … message, and after which pause.
type Script = Arc<dyn Fn(usize) -> (Duration, String) + Send + Sync>;

struct FakeNode {
    address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
}

impl FakeNode {
    async fn start(script: impl Fn(usize) -> (Duration, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<String>>>::default();
        let (script, record): (Script, _) = (Arc::new(script), received.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), record.clone()));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }

    fn manager(&self) -> RedisManager {
        let mut options = RedisOptions::default();
        options.common.deadline = Duration::from_secs(5);
        RedisManager::new(&format!("redis+cluster://{}", self.address), options).unwrap()
    }
}

async fn serve(mut stream: TcpStream, script: Script, received: Arc<Mutex<Vec<String>>>) {
    let mut input = Vec::new();
    while stream.read_buf(&mut input).await.is_ok_and(|len| len > 0) {
        while let Some((words, len)) = command(&input) {
            input.drain(..len);
            let (pause, answer) = answer(&words, &script, &received);
            sleep(pause).await;
            if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The answer to one command, after a pause.
fn answer(words: &[String], script: &Script, received: &Mutex<Vec<String>>) -> (Duration, String) {
    const HELLO: &str = "*4\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster";
    match words[0].as_str() {
        "SPUBLISH" => {
            let mut received = received.lock().unwrap();
            received.push(words[2].clone());
            script(received.len())
        }
        "HELLO" => (Duration::ZERO, HELLO.to_owned()),
        _ => (Duration::ZERO, "+OK".to_owned()),
    }
}

/// Reads one command: its words, and its length.
fn command(input: &[u8]) -> Option<(Vec<String>, usize)> {
    let text = std::str::from_utf8(input).ok()?;
    let mut lines = text.split_inclusive("\r\n");
    let first = lines.next()?.trim_end().strip_prefix('*')?;
    let num_lines = 2 * first.parse::<usize>().ok()?;
    let lines: Vec<_> = text.split_inclusive("\r\n").skip(1).take(num_lines).collect();
    let is_complete = lines.len() == num_lines && lines.last()?.ends_with("\r\n");
    let words = lines.iter().skip(1).step_by(2).map(|word| word.trim_end().to_owned());
    let len = text.find("\r\n")? + 2 + lines.iter().map(|line| line.len()).sum::<usize>();
    is_complete.then(|| (words.collect(), len))
}

async fn accepts_all() -> FakeNode {
    FakeNode::start(|_| (Duration::ZERO, ":1".to_owned())).await
}

fn moved(to: SocketAddr) -> String {
    format!("-MOVED 12182 {to}")
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test]
async fn no_message_overtakes_one_whose_redirection_is_not_answered_yet() {
    let target = accepts_all().await;
    let to = moved(target.address);
    let node = FakeNode::start(move |count| (millis(if count == 1 { 0 } else { 300 }), to.clone())).await;
    let (manager, topic) = (node.manager(), Topic::sharded("foo"));
    let publish = |after: u64, message: &'static str| {
        let (manager, topic) = (&manager, &topic);
        async move {
            sleep(millis(after)).await;
            manager.publish_to(topic, message.into()).await
        }
    };
    let published = join_all([publish(0, "1"), publish(0, "2"), publish(100, "3"), publish(450, "4")]).await;
    published.into_iter().for_each(|accepted| accepted.unwrap());
    manager.publish_to(&topic, "5".into()).await.unwrap();
    assert_eq!(target.received(), ["1", "2", "3", "4", "5"]);
    assert_eq!(node.received(), ["1", "2"], "the rest goes to the owner at once");
}

#[tokio::test]
async fn a_message_that_was_redirected_is_not_sent_after_one_that_was_accepted() {
    let target = accepts_all().await;
    let to = moved(target.address);
    let node = FakeNode::start(move |count| (millis(100), if count == 1 { to.clone() } else { ":1".to_owned() })).await;
    let (manager, topic) = (node.manager(), Topic::sharded("foo"));
    let publishes = ["1", "2"].map(|message| manager.publish_to(&topic, message.into()));
    let [first, second] = join_all(publishes).await.try_into().unwrap();
    let first: manager_api::Error = Result::unwrap_err(first);
    assert!(first.kind() == ErrorKind::Publish && first.is_retryable(), "{first}");
    Result::<(), manager_api::Error>::unwrap(second);
    assert!(target.received().is_empty(), "it would come after the second");
}

#[tokio::test]
async fn nodes_that_refer_to_each_other_are_an_error_and_not_a_loop() {
    let answer = Arc::new(Mutex::new(String::new()));
    let says = answer.clone();
    let node = FakeNode::start(move |_| (Duration::ZERO, says.lock().unwrap().clone())).await;
    // An empty host is that of the node itself.
    *answer.lock().unwrap() = format!("-MOVED 12182 :{}", node.address.port());
    let manager = node.manager();
    let error = manager
        .publish_to(&Topic::sharded("foo"), "x".into())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("redirected the message 5 times"), "{error}");
    assert_eq!(node.received().len(), 6);
}

#[tokio::test]
async fn a_slot_that_no_node_serves_is_tried_again_in_order_up_to_the_deadline() {
    let node = FakeNode::start(|count| {
        let down = "-CLUSTERDOWN Hash slot not served";
        (Duration::ZERO, if count <= 20 { down } else { ":1" }.to_owned())
    })
    .await;
    let (manager, topic) = (node.manager(), Topic::sharded("foo"));
    let publishes = ["1", "2"].map(|message| manager.publish_to(&topic, message.into()));
    join_all(publishes)
        .await
        .into_iter()
        .for_each(|accepted| accepted.unwrap());
    assert_eq!(node.received()[20..], ["1", "2"]);

    let node = FakeNode::start(|_| (Duration::ZERO, "-CLUSTERDOWN Hash slot not served".to_owned())).await;
    let error = node.manager().publish_to(&topic, "x".into()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_node_that_takes_single_messages_is_told_so_and_the_next_message_asks_the_owner_again() {
    let target = accepts_all().await;
    let to = format!("-ASK 12182 {}", target.address);
    let node =
        FakeNode::start(move |count| (Duration::ZERO, if count == 1 { to.clone() } else { ":1".to_owned() })).await;
    let (manager, topic) = (node.manager(), Topic::sharded("foo"));
    for message in ["1", "2"] {
        manager.publish_to(&topic, message.into()).await.unwrap();
    }
    assert_eq!(
        (target.received(), node.received()),
        (vec!["1".to_owned()], vec!["1".to_owned(), "2".to_owned()])
    );
}

#[tokio::test]
async fn a_node_that_says_nothing_fails_its_messages_at_their_deadline_and_no_others() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = moved(silent.local_addr().unwrap());
    let node = FakeNode::start(move |count| {
        let answer = if count == 1 { to.clone() } else { ":1".to_owned() };
        (Duration::ZERO, answer)
    })
    .await;
    let mut options = RedisOptions::default();
    options.common.deadline = millis(500);
    let manager = RedisManager::new(&format!("redis+cluster://{}", node.address), options).unwrap();
    let began = Instant::now();
    let stuck = manager
        .publish_to(&Topic::sharded("foo"), "1".into())
        .await
        .unwrap_err();
    assert!(stuck.is_retryable() && began.elapsed() < millis(3000), "{stuck}");
    manager.publish_to(&Topic::sharded("bar"), "2".into()).await.unwrap();
    let queued = manager
        .publish_to(&Topic::sharded("foo"), "3".into())
        .await
        .unwrap_err();
    assert!(queued.is_retryable(), "{queued}");
    manager.close().await.unwrap();
    assert_eq!(node.received(), ["1", "2"]);
}
