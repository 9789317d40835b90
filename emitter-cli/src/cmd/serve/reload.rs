//! The reload of a running server's settings, at SIGHUP.

use std::time::Duration;

use gateway::config::Config;
use gateway::server::Server;
use gateway::tls::Tls;
use socket_io::SocketIo;

use crate::plan::{ServePlan, checked};
use crate::{log, output};

/// A running server, and the settings that hold for it.
pub(super) struct Reloader {
    plan: ServePlan,
    server: Server,
    tls: Option<Tls>,
}

impl Reloader {
    /// Takes the server and the plan that it was made of.
    pub(super) fn new(plan: ServePlan, server: Server, tls: Option<Tls>) -> Self {
        Self { plan, server, tls }
    }

    /// Returns whether there is a file to read again. Without one, SIGHUP ends the server: it is what a closed terminal sends.
    pub(super) fn has_file(&self) -> bool {
        self.plan.has_file
    }

    /// Returns the server whose settings these are.
    pub(super) fn io(&self) -> &SocketIo {
        self.server.io()
    }

    /// Returns the time over which the ends of connections are spread.
    pub(super) fn drain(&self) -> Duration {
        self.plan.config.drain
    }

    /// Reads the configuration again, and takes over what can change. What is wrong with it, and what needs a restart, is logged; the
    /// server goes on with what it has.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes it may have taken over the certificate, and nothing else.
    pub(super) async fn reload(&mut self) {
        let sources = self.plan.sources.clone();
        let loaded = tokio::task::spawn_blocking(move || checked(&sources)).await;
        let config = match loaded {
            Ok(Ok(loaded)) => loaded.config,
            Ok(Err(failure)) => return tracing::error!("nothing was reloaded: {failure}"),
            Err(error) => return tracing::error!("nothing was reloaded: {error}"),
        };
        if let Some(tls) = self.tls.clone() {
            let renewed = tokio::task::spawn_blocking(move || tls.reload()).await;
            if let Ok(Err(error)) = renewed {
                return tracing::error!("nothing was reloaded: {error}");
            }
        }
        if let Err(problem) = self.server.reload(&config) {
            return tracing::error!("nothing was reloaded: {problem}");
        }
        self.take(&config);
    }

    /// Keeps the settings that hold from now on, and says which do not.
    fn take(&mut self, config: &Config) {
        let own = &mut self.plan.config;
        let (taken, kept): (Vec<_>, Vec<_>) = own.differences(config).into_iter().partition(|setting| setting.reloads);
        let names = |settings: &[&gateway::config::Setting]| {
            let keys: Vec<_> = settings.iter().map(|setting| setting.key).collect();
            keys.join(", ")
        };
        if !kept.is_empty() {
            tracing::warn!("changed, but only a restart takes them over: {}", names(&kept));
        }
        own.origins.clone_from(&config.origins);
        own.token_key.clone_from(&config.token_key);
        own.token_key_files.clone_from(&config.token_key_files);
        own.api_keys.clone_from(&config.api_keys);
        own.drain = config.drain;
        own.log_level = config.log_level;
        log::set_level(config.log_level);
        if !self.plan.quiet {
            let what = if taken.is_empty() {
                "no setting has changed; key files and the certificate were read again".to_owned()
            } else {
                names(&taken)
            };
            output::tell(&format!("sio: reloaded: {what}"));
        }
    }
}
