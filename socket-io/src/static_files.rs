//! Files beside Socket.IO: which path is which file.

mod service;

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tower_layer::Layer;

use crate::service::NotFound;

pub use service::{StaticBody, StaticFilesService};

/// Serves files: single ones by their paths, and folders.
///
/// It is a layer: every other request goes to the service it wraps. With [`SocketIo::layer`](crate::SocketIo::layer) around it, a
/// request is looked up in this order: Socket.IO, files, the service behind, 404.
///
/// - A path that is mapped to a file comes before folders; of several folders the one with the longest path counts.
/// - A path that ends with `/` means the [index](Self::index) in that folder.
/// - Nothing outside a folder is served from it: no `..`, however it is written, and no symbolic link that leads out.
/// - Nothing whose name begins with a dot is served from a folder, such as `.env` and `.git`, but for `.well-known`.
/// - `GET` and `HEAD`, conditional requests (`ETag`, `Last-Modified`) and ranges are answered; other methods go to the service behind.
/// - Content types follow the file's extension, `application/octet-stream` if it has none that is known.
///
/// Files are looked up anew for each request: they may change at any time. Relative names start from the process' current folder.
///
/// ```no_run
/// use socket_io::SocketIo;
/// use socket_io::static_files::StaticFiles;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let files = StaticFiles::new()
///     .file("/", "latency.html")
///     .file_as("/license", "LICENSE", "text/plain")
///     .dir("/static", "./public")
///     .dir("/client", "./node_modules/socket.io-client/dist"); // the official client, for browsers
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// socket_io::service::serve_with(listener, SocketIo::new(), files.service(), std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "serves nothing before it wraps a service"]
pub struct StaticFiles {
    rules: Arc<Rules>,
}

#[derive(Clone, Debug)]
struct Rules {
    files: HashMap<String, Found>,
    /// By paths without the last `/`, longest first.
    folders: Vec<(String, PathBuf)>,
    index: Found,
    cache_control: Option<HeaderValue>,
}

/// A file, and its content type where that does not follow from its name.
#[derive(Clone, Debug)]
struct Found {
    file: PathBuf,
    content_type: Option<HeaderValue>,
}

impl StaticFiles {
    /// Starts with no file at all.
    pub fn new() -> Self {
        let rules = Rules {
            files: HashMap::new(),
            folders: Vec::new(),
            index: Found {
                file: "index.html".into(),
                content_type: None,
            },
            cache_control: Some(HeaderValue::from_static("no-cache")),
        };
        Self { rules: Arc::new(rules) }
    }

    /// Serves a file at a path.
    ///
    /// # Panics
    ///
    /// If the path does not begin with `/`.
    pub fn file(self, path: &str, file: impl Into<PathBuf>) -> Self {
        self.add_file(path, file.into(), None)
    }

    /// Serves a file at a path with a content type of its own, independent of its name.
    ///
    /// # Panics
    ///
    /// If the path does not begin with `/`, or the content type cannot stand in a header.
    pub fn file_as(self, path: &str, file: impl Into<PathBuf>, content_type: &str) -> Self {
        self.add_file(path, file.into(), Some(header(content_type)))
    }

    /// Serves every file of a folder, and of the folders in it, at the paths below `path`; `/` is the whole server.
    ///
    /// # Panics
    ///
    /// If the path does not begin with `/`.
    pub fn dir(mut self, path: &str, folder: impl Into<PathBuf>) -> Self {
        assert!(path.starts_with('/'), "the path {path:?} must begin with '/'");
        let path = path.trim_end_matches('/').to_owned();
        let rules = Arc::make_mut(&mut self.rules);
        rules.folders.retain(|(other, _)| *other != path);
        rules.folders.push((path, folder.into()));
        rules.folders.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        self
    }

    /// Chooses the name of the file that is served for a path that ends with `/`. Default `index.html`.
    ///
    /// # Panics
    ///
    /// If it is not a plain name.
    pub fn index(self, name: &str) -> Self {
        self.set_index(name, None)
    }

    /// As [`index`](Self::index), with a content type of its own.
    ///
    /// # Panics
    ///
    /// If it is not a plain name, or the content type cannot stand in a header.
    pub fn index_as(self, name: &str, content_type: &str) -> Self {
        self.set_index(name, Some(header(content_type)))
    }

    /// Chooses the header `Cache-Control` of every file; empty is none.
    ///
    /// Default `no-cache`: a browser asks each time whether the file has changed, and is answered without it if not. Files whose names
    /// change with their content may have `public, max-age=31536000, immutable`.
    ///
    /// # Panics
    ///
    /// If it cannot stand in a header.
    pub fn cache_control(mut self, value: &str) -> Self {
        Arc::make_mut(&mut self.rules).cache_control = (!value.is_empty()).then(|| header(value));
        self
    }

    /// Returns a service that answers everything else with 404.
    pub fn service(&self) -> StaticFilesService<NotFound> {
        self.layer(NotFound)
    }

    fn add_file(mut self, path: &str, file: PathBuf, content_type: Option<HeaderValue>) -> Self {
        assert!(path.starts_with('/'), "the path {path:?} must begin with '/'");
        let files = &mut Arc::make_mut(&mut self.rules).files;
        files.insert(path.to_owned(), Found { file, content_type });
        self
    }

    fn set_index(mut self, name: &str, content_type: Option<HeaderValue>) -> Self {
        assert!(
            is_plain_name(name),
            "the index {name:?} must be the plain name of a file"
        );
        Arc::make_mut(&mut self.rules).index = Found {
            file: name.into(),
            content_type,
        };
        self
    }
}

impl Default for StaticFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for StaticFiles {
    type Service = StaticFilesService<S>;

    fn layer(&self, inner: S) -> StaticFilesService<S> {
        StaticFilesService::new(self.rules.clone(), inner)
    }
}

impl Rules {
    /// Finds the file of a request's path, as it stands in the request; `None` if it is none of ours, or not there.
    async fn find(&self, path: &str) -> Option<Found> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        if let Some(found) = self.files.get(&*path) {
            return is_file(&found.file).await.then(|| found.clone());
        }
        let below = |(prefix, folder): &(String, PathBuf)| {
            let rest = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
            Some((folder.clone(), rest.to_owned()))
        };
        let (folder, rest) = self.folders.iter().find_map(below)?;
        let (rest, name) = rest.rsplit_once('/').unwrap_or(("", &rest));
        let mut names = rest.split('/').filter(|name| !name.is_empty());
        let mut file = folder.clone();
        names
            .all(|name| is_plain_name(name).then(|| file.push(name)).is_some())
            .then_some(())?;
        let content_type = if name.is_empty() {
            file.push(&self.index.file);
            self.index.content_type.clone()
        } else {
            is_plain_name(name).then(|| file.push(name))?;
            None
        };
        let file = inside(&folder, &file).await.ok()?;
        is_file(&file).await.then_some(Found { file, content_type })
    }
}

/// Follows symbolic links, as long as they stay in the folder.
async fn inside(folder: &Path, file: &Path) -> io::Result<PathBuf> {
    let (folder, file) = (
        tokio::fs::canonicalize(folder).await?,
        tokio::fs::canonicalize(file).await?,
    );
    match file.starts_with(&folder) {
        true => Ok(file),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Returns whether it is a regular file: reading devices and pipes may never end.
async fn is_file(file: &Path) -> bool {
    tokio::fs::metadata(file).await.is_ok_and(|metadata| metadata.is_file())
}

/// One name within a folder, that is not hidden, and neither leads elsewhere nor means something else to any operating system.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_one = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    let is_hidden = name.starts_with('.') && name != ".well-known";
    is_one && !is_hidden && !name.contains(['/', '\\', ':', '\0'])
}

fn header(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| panic!("{value:?} cannot stand in a header"))
}
