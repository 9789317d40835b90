//! Shared brokers: one of each flavour for all tests of a process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::Flavour;

/// A broker that all tests of a process share. They keep apart by [`unique_channel`](super::unique_channel), and leave it running.
#[derive(Debug)]
pub struct Shared {
    url: String,
    direct_urls: Vec<String>,
    origin: Origin,
    /// The server or container that runs as long as this value.
    _running: Box<dyn Any + Send + Sync>,
}

/// The origin of a shared broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A URL in the environment.
    Url,
    /// A container.
    Container,
    /// A server that the harness started on this machine.
    Local,
}

/// Returns the broker of a flavour that all tests of this process share; the first call finds or starts it.
///
/// # Panics
///
/// If there is none. The message says what to install.
pub async fn shared<F: Flavour>() -> &'static Shared {
    let find = || async {
        let search = RUNTIME.spawn(Shared::find::<F>());
        let failed = |error| Err(format!("the search for a {} failed: {error}", F::NAME));
        let found = search.await.unwrap_or_else(failed);
        // It lives as long as the process; the guards clean up its processes.
        found.map(|shared| &*Box::leak(Box::new(shared)))
    };
    match slot::<F>().get_or_init(find).await {
        Ok(shared) => shared,
        Err(why) => panic!("{why}"),
    }
}

impl Shared {
    /// Returns the URL for managers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns URLs at which the harness may ask the servers what they hold, as [`Flavour::direct_urls`].
    #[must_use]
    pub fn direct_urls(&self) -> &[String] {
        &self.direct_urls
    }

    /// Returns its origin.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    async fn find<F: Flavour>() -> Result<Self, String> {
        let found = Self::first_to_be_had::<F>().await?;
        eprintln!("tests use {} at {} ({:?})", F::NAME, found.url, found.origin);
        Ok(found)
    }

    async fn first_to_be_had<F: Flavour>() -> Result<Self, String> {
        let named = |name| {
            std::env::var(name)
                .ok()
                .filter(|url| !url.is_empty())
                .map(|url| (name, url))
        };
        if let Some((name, url)) = F::URL_VARIABLE.and_then(named) {
            F::check(&url)
                .await
                .map_err(|error| format!("{name} is set, but: {error}"))?;
            return Ok(Self::new(Origin::Url, url.clone(), vec![url], ()));
        }
        match F::start_contained().await {
            Some(Ok(contained)) => {
                let url = contained.url.clone();
                return Ok(Self::new(Origin::Container, url.clone(), vec![url], contained));
            }
            Some(Err(why)) if docker_required() => {
                return Err(format!("SIO_REQUIRE_DOCKER is set, but there is no {}: {why}", F::NAME));
            }
            Some(Err(why)) => eprintln!("tests use no container for {}: {why}", F::NAME),
            None => {}
        }
        let server = F::try_start().await?;
        Ok(Self::new(Origin::Local, server.url(), server.direct_urls(), server))
    }

    fn new(origin: Origin, url: String, direct_urls: Vec<String>, running: impl Any + Send + Sync) -> Self {
        Self {
            url,
            direct_urls,
            origin,
            _running: Box::new(running),
        }
    }
}

/// The outcome of the first search for a flavour.
type Slot = Arc<OnceCell<Result<&'static Shared, String>>>;

/// All of them in one map, because a generic type cannot have a static of its own.
fn slot<F: Flavour>() -> Slot {
    static SLOTS: LazyLock<Mutex<HashMap<TypeId, Slot>>> = LazyLock::new(Mutex::default);
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.entry(TypeId::of::<F>()).or_default().clone()
}

/// The runtime of shared brokers: that of a test ends with the test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime for the brokers can be had")
});

/// Returns whether only a container will do.
fn docker_required() -> bool {
    std::env::var("SIO_REQUIRE_DOCKER").is_ok_and(|value| value == "1")
}
