//! The command line of `health`, with the feature `serve`.

use std::time::Duration;

use gateway::listen::Address;

use super::values::duration;

/// Ask a server whether it is ready for new clients, for containers and scripts without curl
#[derive(Debug, clap::Args)]
#[command(after_help = HEALTH_EXAMPLES)]
pub(crate) struct HealthArgs {
    /// The address that the server was given as --admin-listen
    #[arg(env = "SIO_ADMIN_LISTEN", value_name = "ADDR")]
    pub(crate) address: Address,
    /// Ask whether a restart would help, instead: a server without its broker, or one that drains, is live
    #[arg(long)]
    pub(crate) live: bool,
    /// How long the server may take: 3s, 500ms; a number alone is seconds
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

const HEALTH_EXAMPLES: &str = "\
Examples:
  sio health 127.0.0.1:9100          of `sio serve --admin-listen 127.0.0.1:9100`
  sio health --live 9100             a port of 127.0.0.1

Exit code: 0 ready (with --live: live), 1 it is not, or does not respond, 2 usage.";
