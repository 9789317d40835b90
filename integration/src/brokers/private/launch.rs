//! The start of a private broker.

use std::fs::OpenOptions;
use std::process::Stdio;

use tokio::time::{Instant, sleep};

use super::{Guard, Kind, LOOK, Private, Running};

/// How often a server is started that does not respond: Kafka may hang for ever when it starts again after it was killed.
const LAUNCHES: u32 = 3;

/// The reason why a server was not started.
enum Failed {
    /// It ended, or cannot be started at all.
    Ended(String),
    /// It runs and does not respond.
    Silent(String),
}

impl<K: Kind> Private<K> {
    /// Starts the server, and waits until it responds.
    ///
    /// # Errors
    ///
    /// The reason why not, with its log.
    pub(super) async fn launch(&mut self) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..LAUNCHES {
            match self.launch_once().await {
                Err(Failed::Silent(error)) => why = error,
                Err(Failed::Ended(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(why)
    }

    /// Starts the process, and waits until it responds.
    async fn launch_once(&mut self) -> Result<(), Failed> {
        self.spawn().map_err(Failed::Ended)?;
        let end = Instant::now() + K::PATIENCE;
        loop {
            self.note_pid();
            let error = match K::ping(&self.kind.url()).await {
                Ok(()) if self.has_ended() => "another server answers".to_owned(),
                Ok(()) if self.is_known() => return self.kind.warm_up().await.map_err(Failed::Ended),
                Ok(()) => "it has not said which process it is".to_owned(),
                Err(error) => error,
            };
            let has_ended = self.has_ended();
            if has_ended || Instant::now() > end {
                self.kill();
                let error = format!("{error}; the log of {}:\n{}", K::NAME, self.log());
                return Err(if has_ended {
                    Failed::Ended(error)
                } else {
                    Failed::Silent(error)
                });
            }
            sleep(LOOK).await;
        }
    }

    fn spawn(&mut self) -> Result<(), String> {
        let no_log = |error: std::io::Error| format!("no log for {}: {error}", K::NAME);
        let path = self.folder().join("log");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(no_log)?;
        let errors = log.try_clone().map_err(no_log)?;
        let mut command = self.kind.command(self.folder());
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        if let Some(file) = self.kind.pid_file() {
            // Files of the previous start; absent at the first one.
            let _ = std::fs::remove_file(self.folder().join(file));
        }
        let spawned = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => K::INSTALL.to_owned(),
            _ => format!("{} cannot be started: {error}", K::NAME),
        });
        self.running = Some(Running {
            child: spawned?,
            server: None,
        });
        Ok(())
    }

    /// Returns the process of the server: the child process, unless that is a script.
    fn note_pid(&mut self) {
        let file = self.kind.pid_file().map(|file| self.folder.path().join(file));
        let Some(running) = self.running.as_mut().filter(|running| running.server.is_none()) else {
            return;
        };
        let pid = match file {
            None => Some(running.child.id()),
            Some(file) => {
                let text = std::fs::read_to_string(file).ok();
                text.and_then(|text| text.trim().parse().ok())
            }
        };
        running.server = pid.map(|pid| (Guard::kill(pid), pid));
    }

    fn is_known(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.server.is_some())
    }

    fn has_ended(&mut self) -> bool {
        let child = self.running.as_mut().map(|running| &mut running.child);
        child.is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;

    /// A program that responds, by a file, the second time that it runs in a folder; the first time it hangs.
    #[derive(Debug)]
    struct Hanging(PathBuf);

    #[async_trait]
    impl Kind for Hanging {
        const NAME: &'static str = "Hanging";
        const URL_VARIABLE: &'static str = "SIO_TEST_HANGING";
        const PATIENCE: Duration = Duration::from_millis(500);
        const INSTALL: &'static str = "a shell is missing";

        fn prepare(_: &[&str], folder: &Path) -> Result<Self, String> {
            Ok(Self(folder.to_owned()))
        }

        fn address(&self) -> String {
            self.url()
        }

        fn url(&self) -> String {
            self.0.join("responds").display().to_string()
        }

        fn command(&self, folder: &Path) -> Command {
            let mut command = Command::new("sh");
            let script = "if [ -e ran ]; then touch responds; fi; touch ran; exec sleep 60";
            command.args(["-c", script]).current_dir(folder);
            command
        }

        async fn ping(url: &str) -> Result<(), String> {
            match Path::new(url).exists() {
                true => Ok(()),
                false => Err("no response".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_started_again() {
        let server = Private::<Hanging>::start().await;
        assert!(server.folder().join("ran").exists());
    }
}
