//! What cannot work is refused at once, said once, and with advice that fits.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Sio;

/// The address of a server that answers everything with `answer`.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream, answer));
        }
    });
    address
}

async fn answer_all(mut stream: TcpStream, answer: &'static str) -> std::io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// The schemes of URLs that this build knows, one of each broker.
const SCHEMES: &[(&str, &str)] = &[
    ("redis", "another service"),
    #[cfg(feature = "amqp")]
    ("amqp", "another service"),
    #[cfg(feature = "kafka")]
    ("kafka", "an HTTP server"),
];

#[tokio::test]
async fn a_url_of_another_service_is_refused_at_once_and_once() {
    let address = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    for (scheme, cause) in SCHEMES {
        let url = format!("{scheme}://{address}");
        for (line, num_lines) in [
            (&["emit", "news"][..], 1),
            (&["emit", "--lines", "news"], 3),
            (&["listen"], 1),
            (&["-q", "disconnect", "id"], 1),
            #[cfg(feature = "serve")]
            (&["serve", "--listen", "127.0.0.1:0"], 1),
        ] {
            let done = Sio::new(line).url(&url).run("1\n").await;
            assert_eq!(done.code, 2, "{scheme} {line:?}: {}", done.stderr);
            // It may take a second to find out, after which the user is told that the command still tries.
            let told = done.stderr.lines().filter(|line| !line.contains("trying on"));
            assert_eq!(told.count(), num_lines, "{scheme} {line:?}: {}", done.stderr);
            assert_eq!(
                done.stderr.matches(cause).count(),
                1,
                "{scheme} {line:?}: {}",
                done.stderr
            );
            assert!(done.stdout.is_empty(), "{scheme} {line:?}: {}", done.stdout);
        }
    }
}

#[tokio::test]
async fn a_login_that_is_refused_ends_every_command_and_is_said_once() {
    let address = answering("-WRONGPASS invalid username-password pair or user is disabled.\r\n").await;
    for line in [
        &["emit", "news"][..],
        &["listen"],
        &["disconnect", "id"],
        #[cfg(feature = "serve")]
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let url = format!("redis://me:secret@{address}");
        let done = Sio::new(line).url(&url).run("").await;
        assert_eq!(done.code, 1, "{line:?}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{line:?}: {}", done.stderr);
        assert_eq!(done.stderr.matches("WRONGPASS").count(), 1, "{line:?}: {}", done.stderr);
        assert!(
            !done.stderr.contains("secret") && !done.stderr.contains("running?"),
            "{}",
            done.stderr
        );
    }
}

#[tokio::test]
async fn with_no_broker_the_hint_fits_the_scheme() {
    for (url, proposes_serve) in [
        ("redis://127.0.0.1:1", cfg!(feature = "serve")),
        ("rediss://127.0.0.1:1", false),
        ("unix:///nonexistent/redis.sock", false),
        ("redis+sentinel://127.0.0.1:1/main", false),
        #[cfg(feature = "amqp")]
        ("amqp://127.0.0.1:1", false),
        #[cfg(feature = "kafka")]
        ("kafka://127.0.0.1:1", false),
    ] {
        let done = Sio::new(&["emit", "news", "--timeout", "1s"]).url(url).run("").await;
        assert_eq!(done.code, 1, "{url}: {}", done.stderr);
        assert_eq!(
            done.stderr.contains("sio serve"),
            proposes_serve,
            "{url}: {}",
            done.stderr
        );
        assert_eq!(done.stderr.matches("SIO_URL_FILE").count(), 1, "{url}: {}", done.stderr);
        assert!(!done.stderr.contains("WARN"), "{url}: {}", done.stderr);
    }
}
