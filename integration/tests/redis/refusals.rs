//! What is refused: named with what is missing, within a second; while listening, never silent, and healed.

use std::time::{Duration, Instant};

use manager_api::{ClientManager, ErrorKind};
use manager_redis::{RedisManager, RedisOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::faults::{expect_message, hasty, until_gap};
use super::flavours::server_ok;
use super::server::{Server, free_port};

/// Makes the user `me` with password `pw`, who has `rights` on the channel `socketio`.
pub(crate) async fn add_user(server: &Server, rights: &[&str]) {
    let first = ["me", "reset", "on", ">pw", "resetchannels", "&socketio", "-@all"];
    let rules: Vec<_> = first.iter().chain(rights).collect();
    let set = redis::cmd("ACL").arg("SETUSER").arg(&rules).to_owned();
    server_ok(server, &set).await;
}

fn url_of_me(server: &Server) -> String {
    format!("redis://me:pw@127.0.0.1:{}", server.port)
}

#[tokio::test]
async fn a_user_without_a_password_is_logged_in_and_not_taken_for_the_default_one() {
    let server = Server::start().await;
    let rules = ["me", "reset", "on", "nopass", "resetchannels", "&mine", "+@all"];
    let set = redis::cmd("ACL").arg("SETUSER").arg(&rules).to_owned();
    server_ok(&server, &set).await;
    for user in ["redis://me@127.0.0.1", "redis://127.0.0.1"] {
        let query = if user.contains('@') { "" } else { "?username=me" };
        let manager = RedisManager::new(&format!("{user}:{}{query}", server.port), hasty()).unwrap();
        let error = manager.publish("x".into()).await.expect_err("a right is missing");
        assert!(error.to_string().contains("lacks the right &socketio"), "{error}");
    }
}

#[tokio::test]
async fn each_missing_right_is_named_within_a_second() {
    let server = Server::start().await;
    for (rights, channel, publish_needs, subscribe_needs) in [
        (&["+publish"][..], "socketio", None, Some("+subscribe")),
        (&["+subscribe"], "socketio", Some("+publish"), None),
        (
            &["+publish", "+subscribe"],
            "elsewhere",
            Some("&elsewhere"),
            Some("&elsewhere"),
        ),
    ] {
        add_user(&server, rights).await;
        let mut options = RedisOptions::default();
        options.common.channel = channel.to_owned();
        let manager = RedisManager::new(&url_of_me(&server), options).unwrap();
        let begun = Instant::now();
        let published = manager.publish("x".into()).await.err();
        let subscribed = manager.subscribe().await.err();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        for (error, needs) in [(published, publish_needs), (subscribed, subscribe_needs)] {
            let is_told = error
                .as_ref()
                .is_none_or(|error| error.is_refusal() && !error.is_retryable());
            assert!(is_told, "{error:?}");
            let said = error.map(|error| error.to_string()).unwrap_or_default();
            match needs {
                Some(needs) => assert!(said.contains(&format!("lacks the right {needs}")), "{said}"),
                None => assert_eq!(said, ""),
            }
        }
        assert!(manager.health().num_refusals > 0);
    }
}

#[tokio::test]
async fn the_documented_user_listens_without_a_gap_although_it_may_not_ping() {
    for arguments in [&[][..], &["--rename-command", "HELLO", ""]] {
        let server = Server::start_with(arguments).await;
        add_user(&server, &["+publish", "+subscribe"]).await;
        let options = RedisOptions {
            keepalive_interval: Duration::from_millis(20),
            ..hasty()
        };
        let manager = RedisManager::new(&url_of_me(&server), options).unwrap();
        let mut subscription = manager.subscribe().await.unwrap();
        let since = manager.health().listening_since;
        // Many intervals: nothing else tells that all of them passed without harm.
        sleep(Duration::from_millis(400)).await;
        manager.publish("still there".into()).await.unwrap();
        expect_message(&mut subscription, "still there").await;
        let health = manager.health();
        assert_eq!((health.num_gaps, health.listening_since), (0, since), "{health:?}");
    }
}

#[tokio::test]
async fn a_right_or_password_that_is_lost_while_listening_is_unhealthy_and_counted_and_heals() {
    let server = Server::start().await;
    add_user(&server, &["+publish", "+subscribe"]).await;
    let manager = RedisManager::new(&url_of_me(&server), hasty()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").to_owned();
    for (taken, text) in [
        (&["-subscribe"][..], "+subscribe"),
        (&["resetpass", ">other"], "authentication failed"),
    ] {
        let before = manager.health();
        let change: Vec<_> = [&["me"], taken].concat();
        server_ok(&server, redis::cmd("ACL").arg("SETUSER").arg(&change)).await;
        server_ok(&server, &kill).await;
        let refused = Instant::now();
        while manager.health().num_refusals < before.num_refusals + 3 {
            assert!(refused.elapsed() < Duration::from_secs(20), "{:?}", manager.health());
            sleep(Duration::from_millis(10)).await;
        }
        let health = manager.health();
        assert!(health.listening_since.is_none(), "{health:?}");
        assert!(health.last_error.is_some_and(|(_, said)| said.contains(text)));
        add_user(&server, &["+publish", "+subscribe"]).await;
        until_gap(&mut subscription).await;
        manager.publish("healed".into()).await.unwrap();
        expect_message(&mut subscription, "healed").await;
    }
}

#[tokio::test]
async fn publishes_right_after_a_refusal_do_not_wait_for_the_next_attempt() {
    let server = Server::start_with(&["--requirepass", "right"]).await;
    let manager = RedisManager::new(&format!("redis://127.0.0.1:{}", server.port), RedisOptions::default()).unwrap();
    let begun = Instant::now();
    for _ in 0..5 {
        let error = manager.publish("x".into()).await.unwrap_err();
        assert!(error.to_string().contains("wants a password"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drop(manager);
    let subscriber = RedisManager::new(&format!("redis://127.0.0.1:{}", server.port), hasty()).unwrap();
    subscriber.subscribe().await.unwrap_err();
    assert!(subscriber.health().num_refusals > 0);
}

/// A server that answers AUTH with `answer`, as servers before Redis 6 do, which know no users and no HELLO.
async fn server_of_old(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_server_before_redis_6_that_refuses_a_login_is_not_taken_for_an_outage() {
    for (answer, login, text) in [
        (
            &b"-ERR wrong number of arguments for 'auth' command\r\n"[..],
            "me:pw",
            "leave the user out",
        ),
        (b"-ERR invalid password\r\n", ":pw", "authentication failed"),
        (
            b"-ERR Client sent AUTH, but no password is set\r\n",
            ":pw",
            "has no password",
        ),
    ] {
        let address = server_of_old(answer).await;
        let manager = RedisManager::new(&format!("redis://{login}@{address}"), RedisOptions::default()).unwrap();
        let begun = Instant::now();
        let error = manager.publish("x".into()).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(error.kind(), ErrorKind::Connect);
        let said = error.to_string();
        assert!(said.contains(text) && said.contains("refuses"), "{said}");
    }
}

#[tokio::test]
async fn sentinels_have_a_user_and_password_of_their_own_in_the_url() {
    let master = Server::start().await;
    let sentinel = Server::new(
        free_port(),
        &["{dir}/sentinel.conf", "--sentinel", "--requirepass", "s3cret"],
    );
    let config = format!(
        "port {}\nsentinel monitor mymaster 127.0.0.1 {} 1\n",
        sentinel.port, master.port
    );
    std::fs::write(sentinel.dir.path().join("sentinel.conf"), config).unwrap();
    sentinel.restart_sentinel().await;
    let url = format!("redis+sentinel://127.0.0.1:{}/mymaster", sentinel.port);
    let refused = RedisManager::new(&url, hasty())
        .unwrap()
        .publish("x".into())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("wants a password"), "{refused}");
    let manager = RedisManager::new(
        &format!("{url}?sentinel_username=default&sentinel_password=s3cret"),
        hasty(),
    )
    .unwrap();
    manager.publish("x".into()).await.unwrap();
}
