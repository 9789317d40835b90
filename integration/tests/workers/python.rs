//! Celery, RQ, and an open `sio emit --lines`.

use integration::brokers::{RabbitBroker, RedisBroker, unique_channel};
use integration::proxy::TcpProxy;
use integration::tools;
use serde_json::json;

use super::stage::Stage;

#[tokio::test]
async fn a_celery_task_that_is_retried_reaches_the_client_once() {
    let (url, channel) = (RabbitBroker::shared().await.url(), unique_channel());
    let files = ["python/rooms.py", "python/tasks.py"];
    let mut stage = Stage::start(url, &channel, "user:ada", &files).await;
    let variables = [("CELERY_BROKER_URL", url), ("SIO_URL", url), ("SIO_CHANNEL", &channel)];
    // Both make an exchange of their name.
    let queue = format!("{channel}-tasks");
    let more = format!("-Q {queue} --concurrency 1 --without-gossip --without-mingle");
    let _worker = stage.worker("python/tasks.py", &more, &variables);
    let call = [
        "-A",
        "tasks",
        "call",
        "tasks.report",
        "--args",
        r#"["ada", "2026-11"]"#,
        "--queue",
        &queue,
    ];
    let mut adding = stage.command("celery", &call);
    adding.envs(variables);
    stage.run(adding).await;
    stage
        .expect("report ready", json!({"url": "/reports/ada/2026-11"}))
        .await;
    stage.ends_without_another().await;
}

#[tokio::test]
async fn an_rq_job_whose_broker_is_away_is_retried_and_reaches_the_client_once() {
    let redis = RedisBroker::start().await;
    let (proxy, through) = TcpProxy::before(&redis.url()).await;
    let files = ["python/rooms.py", "python/jobs.py"];
    let mut stage = Stage::start(&redis.url(), "socketio", "user:ada", &files).await;
    proxy.stall();
    let variables = [("RQ_REDIS_URL", &*redis.url()), ("SIO_URL", &*through)];
    let _worker = stage.worker("python/jobs.py", "", &variables);
    const ADD: &str = "
import os, redis, rq, jobs
queue = rq.Queue('reports', connection=redis.Redis.from_url(os.environ['RQ_REDIS_URL']))
queue.enqueue(jobs.report, 'ada', '2026-11', retry=jobs.RETRY)";
    let mut adding = stage.command("python", &["-c", ADD]);
    adding.envs(variables);
    stage.run(adding).await;
    stage.ended_with("1").await;
    proxy.restore();
    stage
        .expect("report ready", json!({"url": "/reports/ada/2026-11"}))
        .await;
    stage.ends_without_another().await;
}

/// What is done again has a key that was there before; what cannot be used says so, and the others go on.
#[tokio::test]
async fn an_open_command_tells_a_worker_of_each_event() {
    const WORK: &str = "
from open_rooms import OpenRooms
rooms = OpenRooms()
first = [rooms.emit(f'job-{number}', 'user:ada', 'done', number) for number in range(1000)]
unusable = rooms.emit('k' * 129, 'user:ada', 'done', -1)
again = rooms.emit('job-7', 'user:ada', 'done', 7)
print([future.result(60) for future in [*first, again]] == [None] * 1001)
print(type(unusable.exception(60)).__name__)
rooms.close()
try:
    rooms.emit('late', 'user:ada', 'done', 0)
except ValueError:
    print('closed')";
    let redis = RedisBroker::start().await;
    let files = ["python/rooms.py", "python/open_rooms.py"];
    let mut stage = Stage::start(&redis.url(), "socketio", "user:ada", &files).await;
    let mut working = stage.command("python", &["-c", WORK]);
    working.env("SIO_URL", redis.url());
    assert_eq!(stage.run(working).await, "True\nValueError\nclosed\n");
    for number in 0..1000 {
        stage.expect("done", json!(number)).await;
    }
    stage.ends_without_another().await;
}

#[tokio::test]
async fn an_open_command_that_is_killed_leaves_no_event_without_an_answer() {
    const WORK: &str = "
from open_rooms import OpenRooms
from rooms import NotAccepted
rooms = OpenRooms()
waiting = rooms.emit('job-7', 'user:ada', 'done', 7)
rooms._sio.kill()
print(type(waiting.exception(60)).__name__)
rooms._sio.wait()
try:
    rooms.emit('job-8', 'user:ada', 'done', 8)
except NotAccepted as error:
    print(error)";
    let redis = RedisBroker::start().await;
    let (proxy, through) = TcpProxy::before(&redis.url()).await;
    let files = ["python/rooms.py", "python/open_rooms.py"];
    let stage = Stage::start(&redis.url(), "socketio", "user:ada", &files).await;
    let sio = stage.folder().join("bin/sio");
    std::fs::remove_file(&sio).unwrap();
    std::os::unix::fs::symlink(tools::sio(), &sio).unwrap();
    proxy.stall();
    let mut working = stage.command("python", &["-c", WORK]);
    working.env("SIO_URL", through);
    assert_eq!(stage.run(working).await, "NotAccepted\nsio has ended\n");
}
