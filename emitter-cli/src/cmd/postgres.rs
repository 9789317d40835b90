//! `sio postgres`: the schema in a database.

use siokit::postgres::schema::{install, status, uninstall};

use crate::failure::Failure;
use crate::output;
use crate::plan::{PostgresAction, PostgresPlan};

pub(super) async fn run(plan: PostgresPlan) -> Result<(), Failure> {
    let PostgresPlan { url, options, action } = plan;
    let installed = match &action {
        PostgresAction::Install(wanted) => {
            let installed = install(url.whole(), &options, wanted).await;
            installed.map_err(|error| Failure::of(error, format!("cannot install at {url}")))?
        }
        PostgresAction::Uninstall => {
            let removed = uninstall(url.whole(), &options).await;
            return removed.map_err(|error| Failure::of(error, format!("cannot uninstall at {url}")));
        }
        PostgresAction::Status => {
            let installed = status(url.whole(), &options).await;
            installed.map_err(|error| Failure::of(error, format!("cannot look at {url}")))?
        }
    };
    output::printed(format!("{installed}\n")).await
}
