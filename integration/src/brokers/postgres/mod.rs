//! PostgreSQL: plain, and its flavours.

mod pooler;
mod tls;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use manager_postgres::PostgresOptions;
use manager_postgres::schema::{Installation, install};
use tokio::time::timeout;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::private::{Kind, Private, free_ports};
use super::{FOR_LOAD, Shared, shared};
use crate::DEADLINE;

pub use pooler::Pooler;
pub use tls::PostgresTls;

/// The longest time until a server accepts its first connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// The timeout of a single look.
const LOOK: Duration = Duration::from_secs(2);
/// Where Debian keeps the programs of each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// The user of the server where this process may not be it: PostgreSQL refuses to run as root.
const USER: &str = "postgres";
/// A setting that names a folder with `own.pem`, `own.key` and `ca.pem`, with which the server speaks TLS.
const CERTIFICATES: &str = "certificates = ";
/// A setting that is a line of `pg_hba.conf`, before the one that trusts every login.
pub const HBA: &str = "hba = ";
/// A setting without which the schema is installed.
pub const BARE: &str = "bare";
/// Runs the server, tells its process id, and ends once its children have: until then it cannot be started again.
const SCRIPT: &str = r#"
"$@" & echo $! > pid.new; mv pid.new pid; wait $!
for turn in 1 2 3 4 5 6 7 8 9; do
  alive=
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/cwd" 2>/dev/null)" = "$PWD/data" ] || continue
    alive=yes; kill -KILL "${process#/proc/}" 2>/dev/null
  done
  [ "$alive" ] || break
done
"#;

/// A PostgreSQL server of a test's own. Its settings are those of `postgresql.conf`, as `max_connections = 10`, beside
/// [`HBA`] and [`BARE`].
pub type PostgresBroker = Private<Postgres>;

impl PostgresBroker {
    /// Returns the PostgreSQL that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// If it is not installed. The message says what to install.
    pub async fn shared() -> &'static Shared {
        shared::<Self>().await
    }
}

/// `postgres` as a private broker.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    is_bare: bool,
}

#[async_trait]
impl Kind for Postgres {
    const NAME: &'static str = "PostgreSQL";
    const URL_VARIABLE: &'static str = "SIO_TEST_POSTGRES_URL";
    const PATIENCE: Duration = PATIENCE;
    const HAS_CHILDREN: bool = true;
    const INSTALL: &'static str = "no PostgreSQL for the tests: set SIO_TEST_POSTGRES_URL, or install postgresql \
         (Debian: apt-get install postgresql); ./test does that where it may";

    fn prepare(settings: &[&str], folder: &Path) -> Result<Self, String> {
        let [port] = free_ports()?;
        let postgres = Self {
            programs: programs().ok_or(Self::INSTALL)?,
            port,
            is_bare: settings.contains(&BARE),
        };
        postgres.make(settings, folder)?;
        Ok(postgres)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = as_server_user("sh");
        command
            .args(["-c", SCRIPT, "sh"])
            .arg(self.programs.join("postgres"))
            .args(["-D", "data"])
            .current_dir(folder);
        command
    }

    fn pid_file(&self) -> Option<&'static str> {
        Some("pid")
    }

    async fn ping(url: &str) -> Result<(), String> {
        ask_within(LOOK, url, "SELECT 1").await.map(drop)
    }

    async fn warm_up(&self) -> Result<(), String> {
        match self.is_bare {
            true => Ok(()),
            false => prepared(&self.url()).await,
        }
    }
}

impl Postgres {
    /// Makes the folder of a new server.
    fn make(&self, settings: &[&str], folder: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("PostgreSQL cannot be set up: {error}");
        run(Command::new("chmod").arg("755").arg(folder))?;
        hand_over(folder)?;
        let mut initdb = as_server_user(self.programs.join("initdb"));
        initdb.args(["-D", "data", "-A", "trust", "-U", "postgres", "-E", "UTF8"]);
        initdb
            .args(["--locale=C", "--no-sync", "--no-instructions"])
            .current_dir(folder);
        run(&mut initdb)?;
        let data = folder.join("data");
        // The disk of the tests survives their servers.
        let mut text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nfull_page_writes = off\n\
             shared_buffers = 16MB\nmax_connections = 200\nautovacuum_naptime = 5\n",
            self.port,
            folder.display()
        );
        let mut access = String::new();
        for setting in settings.iter().filter(|setting| ![FOR_LOAD, BARE].contains(setting)) {
            if let Some(certificates) = setting.strip_prefix(CERTIFICATES) {
                for name in ["own.pem", "own.key", "ca.pem"] {
                    let copied = std::fs::copy(Path::new(certificates).join(name), data.join(name));
                    copied.map(drop).map_err(failed)?;
                }
                text += "ssl = on\nssl_cert_file = 'own.pem'\nssl_key_file = 'own.key'\nssl_ca_file = 'ca.pem'\n";
            } else if let Some(line) = setting.strip_prefix(HBA) {
                access += &format!("{line}\n");
            } else {
                text += &format!("{setting}\n");
            }
        }
        std::fs::write(data.join("postgresql.auto.conf"), text).map_err(failed)?;
        let trusting = "local all all trust\nhost all all all trust\nhost replication all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), access + trusting).map_err(failed)?;
        hand_over(folder)
    }
}

/// Installs the schema.
async fn prepared(url: &str) -> Result<(), String> {
    let installed = install(url, &PostgresOptions::default(), &Installation::default()).await;
    installed.map(drop).map_err(|error| error.to_string())
}

/// Returns the folder with the server's programs: of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(PROGRAMS).ok()?;
    let folders = versions.filter_map(|version| {
        let version = version.ok()?;
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let folder = version.path().join("bin");
        folder.join("postgres").exists().then_some((number, folder))
    });
    folders.max().map(|(_, folder)| folder)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Returns a command that runs as a user that may run the server.
fn as_server_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user = [
        format!("--reuid={USER}"),
        format!("--regid={USER}"),
        "--clear-groups".to_owned(),
    ];
    command.args(user).arg(program.as_ref());
    command
}

/// Makes a folder the server's.
fn hand_over(folder: &Path) -> Result<(), String> {
    match is_root() {
        true => run(Command::new("chown")
            .args(["-R", &format!("{USER}:{USER}")])
            .arg(folder)),
        false => Ok(()),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Runs statements at a PostgreSQL and returns the rows, each with its fields as text.
///
/// # Errors
///
/// The reason why it cannot connect, or the error.
pub async fn ask(url: &str, statements: &str) -> Result<Vec<Vec<String>>, String> {
    ask_within(DEADLINE, url, statements).await
}

async fn ask_within(limit: Duration, url: &str, statements: &str) -> Result<Vec<Vec<String>>, String> {
    let asked = async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(in_full)?;
        let connection = tokio::spawn(connection);
        let answer = client.simple_query(statements).await.map_err(in_full);
        drop(client);
        let _ = connection.await;
        answer
    };
    let Ok(messages) = timeout(limit, asked).await else {
        return Err("PostgreSQL does not answer in time".to_owned());
    };
    let rows = messages?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let fields = (0..row.len()).map(|index| row.get(index).unwrap_or_default().to_owned());
            Some(fields.collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

fn in_full(error: tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("PostgreSQL does not answer: {error}: {}", cause.unwrap_or_default())
}
