//! What is to be done to the schema in a database.

use siokit::manager::ManagerOptions;
use siokit::postgres::PostgresOptions;
use siokit::postgres::schema::Installation;

use super::url_source;
use crate::args::{DatabaseArgs, InstallArgs, PostgresCommand};
use crate::backend::BrokerUrl;
use crate::failure::Failure;

/// A change of the schema, or a look at it.
#[derive(Debug)]
pub(crate) struct PostgresPlan {
    pub(crate) url: BrokerUrl,
    pub(crate) options: PostgresOptions,
    pub(crate) action: PostgresAction,
}

#[derive(Debug)]
pub(crate) enum PostgresAction {
    Install(Installation),
    Uninstall,
    Status,
}

impl PostgresPlan {
    /// Checks what the user typed.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`], which says what to change.
    pub(super) fn new(command: PostgresCommand) -> Result<Self, Failure> {
        match command {
            PostgresCommand::Install(args) => {
                let InstallArgs {
                    database,
                    retention,
                    max_messages,
                    functions,
                } = args;
                let installation = Installation {
                    retention,
                    max_messages,
                    functions,
                };
                Self::of(database, PostgresAction::Install(installation))
            }
            PostgresCommand::Uninstall(database) => Self::of(database, PostgresAction::Uninstall),
            PostgresCommand::Status(database) => Self::of(database, PostgresAction::Status),
        }
    }

    fn of(args: DatabaseArgs, action: PostgresAction) -> Result<Self, Failure> {
        let Some(url) = url_source::find(args.url)? else {
            return Err(Failure::input(
                "name the database: --url postgres://USER@HOST/DATABASE, SIO_URL or SIO_URL_FILE",
            ));
        };
        let url = BrokerUrl::parse(&url)?;
        if url.feature() != "postgres" {
            return Err(Failure::input(format!(
                "{url} is not a database of PostgreSQL: write postgres://…"
            )));
        }
        let mut options = PostgresOptions {
            common: ManagerOptions {
                deadline: args.timeout,
                ..ManagerOptions::default()
            },
            ..PostgresOptions::default()
        };
        options.schema = args.schema.unwrap_or(options.schema);
        Ok(Self { url, options, action })
    }
}
