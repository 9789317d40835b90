use std::time::Duration;

use integration::DEADLINE;
use integration::proxy::TcpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Starts a server that sends everything back, and a proxy in front of it.
async fn echo() -> TcpProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    TcpProxy::start(target).await
}

async fn answers(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.write_all(b"ping").await.is_ok()
        && timeout(DEADLINE, stream.read_exact(&mut answer))
            .await
            .is_ok_and(|read| read.is_ok())
        && &answer == b"ping"
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let proxy = echo().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(answers(&mut stream).await);
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_what_comes_until_restored() {
    let proxy = echo().await;
    let mut before = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(answers(&mut before).await);
    proxy.cut().await;
    assert!(!answers(&mut before).await);
    let mut during = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(!answers(&mut during).await);
    proxy.restore();
    let mut after = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(answers(&mut after).await);
}

#[tokio::test]
async fn a_stall_holds_bytes_back_and_loses_none() {
    let proxy = echo().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(answers(&mut stream).await);
    proxy.stall();
    stream.write_all(b"late").await.unwrap();
    let mut answer = [0; 4];
    assert!(
        timeout(Duration::from_millis(100), stream.read_exact(&mut answer))
            .await
            .is_err(),
        "a stall let bytes pass"
    );
    proxy.restore();
    timeout(DEADLINE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"late");
}

#[tokio::test]
async fn the_end_of_one_side_is_the_end_of_the_other() {
    let proxy = echo().await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(answers(&mut stream).await);
    stream.shutdown().await.unwrap();
    assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_url_leads_through_the_proxy() {
    let (proxy, url) = TcpProxy::before("redis://user:secret@127.0.0.1:6379/2").await;
    assert_eq!(url, format!("redis://user:secret@{}/2", proxy.addr()));
}
