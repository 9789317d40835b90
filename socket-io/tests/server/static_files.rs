//! Files beside Socket.IO, asked for as a browser and as an attacker would.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::routing::get;
use socket_io::SocketIo;
use socket_io::static_files::StaticFiles;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, within};

/// `secret.txt` and a `public` folder with a page, a script, a nested style sheet and a file without extension.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    write("secret.txt", "secret");
    std::fs::create_dir_all(folder.path().join("public/css")).unwrap();
    write("public/index.html", "<p>index</p>");
    write("public/app.js", "0123456789");
    write("public/css/style.css", "p {}");
    write("public/blob", "blob");
    write("public/image.gif", "GIF89a");
    folder
}

async fn serve(files: StaticFiles) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = socket_io::service::serve_with(listener, SocketIo::new(), files.service(), std::future::pending());
    tokio::spawn(serving);
    address
}

async fn serve_public(folder: &TempDir) -> SocketAddr {
    serve(StaticFiles::new().dir("/static", folder.path().join("public"))).await
}

/// A response in parts.
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    /// Returns a header's value.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    within(stream.read_to_string(&mut response)).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    Response {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn get_path(address: SocketAddr, path: &str) -> Response {
    ask(address, "GET", path, "").await
}

async fn expect(address: SocketAddr, path: &str, content_type: &str, body: &str) {
    let response = get_path(address, path).await;
    let got = (response.status, response.header("content-type"), response.body.as_str());
    assert_eq!(got, (200, Some(content_type), body), "{path}");
}

#[tokio::test]
async fn a_file_is_served_at_its_path_with_the_type_of_its_extension_or_the_given_one() {
    let folder = folder();
    let public = folder.path().join("public");
    let files = StaticFiles::new()
        .file("/", public.join("index.html"))
        .file_as("/plain", public.join("index.html"), "text/plain")
        .file("/blob", public.join("blob"));
    let address = serve(files).await;
    expect(address, "/", "text/html", "<p>index</p>").await;
    expect(address, "/plain", "text/plain", "<p>index</p>").await;
    expect(address, "/blob", "application/octet-stream", "blob").await;
    assert_eq!(get_path(address, "/plain/").await.status, 404);
    assert_eq!(
        get_path(address, "/blob").await.header("x-content-type-options"),
        Some("nosniff")
    );
}

#[tokio::test]
async fn hidden_files_are_not_served_from_a_folder() {
    let folder = folder();
    let public = folder.path().join("public");
    for name in [".git", ".well-known"] {
        std::fs::create_dir(public.join(name)).unwrap();
        std::fs::write(public.join(name).join("file.txt"), name).unwrap();
    }
    std::fs::write(public.join(".env"), "secret").unwrap();
    let address = serve_public(&folder).await;
    for path in ["/static/.env", "/static/%2eenv", "/static/.git/file.txt"] {
        assert_eq!(get_path(address, path).await.status, 404, "{path}");
    }
    expect(address, "/static/.well-known/file.txt", "text/plain", ".well-known").await;
}

#[tokio::test]
async fn every_extension_that_the_guide_names_has_its_type() {
    let folder = folder();
    for (extension, content_type) in [
        ("html", "text/html"),
        ("css", "text/css"),
        ("js", "text/javascript"),
        ("json", "application/json"),
        ("jpg", "image/jpeg"),
        ("png", "image/png"),
        ("gif", "image/gif"),
        ("txt", "text/plain"),
        ("unheard-of", "application/octet-stream"),
    ] {
        let name = format!("file.{extension}");
        std::fs::write(folder.path().join("public").join(&name), "x").unwrap();
        expect(
            serve_public(&folder).await,
            &format!("/static/{name}"),
            content_type,
            "x",
        )
        .await;
    }
}

#[tokio::test]
async fn a_folder_is_served_below_its_path_and_its_index_where_the_path_ends_with_a_slash() {
    let folder = folder();
    let address = serve_public(&folder).await;
    expect(address, "/static/css/style.css", "text/css", "p {}").await;
    expect(address, "/static/index.html", "text/html", "<p>index</p>").await;
    expect(address, "/static/", "text/html", "<p>index</p>").await;
    for absent in [
        "/static/nope",
        "/static",
        "/staticky/app.js",
        "/static/css",
        "/static/css/",
        "/",
    ] {
        assert_eq!(get_path(address, absent).await.status, 404, "{absent}");
    }
}

#[tokio::test]
async fn the_index_can_have_another_name_and_type() {
    let folder = folder();
    let files = || StaticFiles::new().dir("/static/", folder.path().join("public"));
    expect(
        serve(files().index("image.gif")).await,
        "/static/",
        "image/gif",
        "GIF89a",
    )
    .await;
    let address = serve(files().index_as("image.gif", "text/plain")).await;
    expect(address, "/static/", "text/plain", "GIF89a").await;
    expect(address, "/static/image.gif", "image/gif", "GIF89a").await;
}

#[tokio::test]
async fn socket_io_comes_first_then_files_then_the_service_behind_then_404() {
    let folder = folder();
    let public = folder.path().join("public");
    std::fs::create_dir_all(public.join("socket.io")).unwrap();
    std::fs::write(public.join("socket.io/index.html"), "not this").unwrap();
    let files = StaticFiles::new()
        .dir("/", &public)
        .dir("/css", folder.path().join("elsewhere"))
        .file("/app.js", public.join("blob"));
    let app = Router::new()
        .route("/blob", get(async || "behind").post(async || "posted"))
        .route("/other", get(async || "other"))
        .route("/css/style.css", get(async || "the longest path counts"))
        .layer(files)
        .layer(SocketIo::new().layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let answer = async |path: &'static str| get_path(address, path).await.body;
    assert!(answer("/socket.io/").await.contains("Transport unknown"));
    assert_eq!(answer("/app.js").await, "blob", "a file before a folder");
    assert_eq!(answer("/blob").await, "blob");
    assert_eq!(answer("/css/style.css").await, "the longest path counts");
    assert_eq!(answer("/other").await, "other");
    assert_eq!(get_path(address, "/nowhere").await.status, 404);
    let posted = ask(address, "POST", "/blob", "content-length: 0\r\n").await;
    assert_eq!(posted.body, "posted", "files are only read");
    let mut client = Client::open(address).await;
    client.join("/").await;
}

#[tokio::test]
async fn no_spelling_of_dot_dot_leads_out_of_the_folder() {
    let folder = folder();
    let address = serve_public(&folder).await;
    for path in [
        "/static/../secret.txt",
        "/static/css/../../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/%2E%2E%2Fsecret.txt",
        "/static/..%2fsecret.txt",
        "/static/css/%2e%2e/%2e%2e/secret.txt",
        "/static/..%5csecret.txt",
        "/static/%252e%252e/secret.txt",
        "/static/%00",
        "/static/app.js%00.html",
        "/static/%ff",
        "/static//../secret.txt",
        "/static/./../secret.txt",
    ] {
        let response = get_path(address, path).await;
        assert!((400..500).contains(&response.status), "{path}: {}", response.status);
        assert!(!response.body.contains("secret"), "{path}");
    }
    let absolute = format!("/static/{}/secret.txt", folder.path().display());
    assert_eq!(get_path(address, &absolute).await.status, 404);
    expect(address, "/static/%61pp.js", "text/javascript", "0123456789").await;
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_are_followed_within_the_folder_only() {
    let folder = folder();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.path().join("public").join(name)).unwrap();
    link(Path::new("app.js"), "inside.js");
    link(&folder.path().join("secret.txt"), "outside.txt");
    link(folder.path(), "up");
    link(Path::new("/dev/zero"), "endless");
    let address = serve_public(&folder).await;
    expect(address, "/static/inside.js", "text/javascript", "0123456789").await;
    for path in ["/static/outside.txt", "/static/up/secret.txt", "/static/endless"] {
        assert_eq!(get_path(address, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_browser_that_has_the_file_is_not_sent_it_again() {
    let folder = folder();
    let address = serve_public(&folder).await;
    let first = get_path(address, "/static/app.js").await;
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let (tag, modified) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for header in [
        format!("if-none-match: {tag}\r\n"),
        format!("if-modified-since: {modified}\r\n"),
    ] {
        let again = ask(address, "GET", "/static/app.js", &header).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{header}");
    }
    let other = ask(address, "GET", "/static/app.js", "if-none-match: \"other\"\r\n").await;
    assert_eq!((other.status, other.body.as_str()), (200, "0123456789"));
}

#[tokio::test]
async fn cache_control_can_be_chosen_and_left_out() {
    let folder = folder();
    let files = || StaticFiles::new().dir("/", folder.path().join("public"));
    let address = serve(files().cache_control("public, max-age=60")).await;
    assert_eq!(
        get_path(address, "/").await.header("cache-control"),
        Some("public, max-age=60")
    );
    let address = serve(files().cache_control("")).await;
    assert_eq!(get_path(address, "/").await.header("cache-control"), None);
}

#[tokio::test]
async fn heads_and_ranges_are_answered() {
    let folder = folder();
    let address = serve_public(&folder).await;
    let head = ask(address, "HEAD", "/static/app.js", "").await;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.as_str()),
        (200, Some("10"), "")
    );
    let part = ask(address, "GET", "/static/app.js", "range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let beyond = ask(address, "GET", "/static/app.js", "range: bytes=20-\r\n").await;
    assert_eq!(beyond.status, 416);
}

#[test]
#[should_panic(expected = "must begin with '/'")]
fn a_path_without_a_slash_is_a_mistake() {
    let _ = StaticFiles::new().file("index.html", "index.html");
}

#[test]
#[should_panic(expected = "must be the plain name")]
fn an_index_elsewhere_is_a_mistake() {
    let _ = StaticFiles::new().index("../secret.txt");
}
