//! PgBouncer, in front of a PostgreSQL.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;

use super::{as_server_user, ask_within, hand_over, run};
use crate::brokers::private::{Kind, Private, free_ports};

/// A PgBouncer of a test's own. Its settings are lines of its configuration; one is `server = host:port`.
pub type Pooler = Private<PgBouncer>;

/// `pgbouncer` as a private server.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
}

#[async_trait]
impl Kind for PgBouncer {
    const NAME: &'static str = "PgBouncer";
    const URL_VARIABLE: &'static str = "SIO_TEST_PGBOUNCER_URL";
    const PATIENCE: Duration = Duration::from_secs(30);
    const INSTALL: &'static str = "no PgBouncer for the tests: install pgbouncer (Debian: apt-get install pgbouncer); \
         ./test does that where it may";

    fn prepare(settings: &[&str], folder: &Path) -> Result<Self, String> {
        let [port] = free_ports()?;
        run(Command::new("chmod").arg("755").arg(folder))?;
        let server = settings.iter().find_map(|setting| setting.strip_prefix("server = "));
        let (host, to) = server
            .and_then(|server| server.rsplit_once(':'))
            .ok_or("no server to pool")?;
        let mut text = format!(
            "[databases]\n* = host={host} port={to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nauth_file =\n"
        );
        // With `auth_type = any` each login becomes the user of the entry of the database.
        text = text.replace(
            &format!("port={to}"),
            &format!("port={to} user=postgres dbname=postgres"),
        );
        for setting in settings.iter().filter(|setting| !setting.starts_with("server = ")) {
            text += &format!("{setting}\n");
        }
        std::fs::write(folder.join("pgbouncer.ini"), text).map_err(|error| error.to_string())?;
        hand_over(folder)?;
        Ok(Self { port })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    fn command(&self, folder: &Path) -> Command {
        let program = Path::new("/usr/sbin/pgbouncer");
        let mut command = as_server_user(if program.exists() {
            program
        } else {
            Path::new("pgbouncer")
        });
        command.arg("pgbouncer.ini").current_dir(folder);
        command
    }

    async fn ping(url: &str) -> Result<(), String> {
        ask_within(Duration::from_secs(5), url, "SELECT 1").await.map(drop)
    }
}
