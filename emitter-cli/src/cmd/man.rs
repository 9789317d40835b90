//! `sio man`: man pages of the command and of its subcommands.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;
use crate::failure::Failure;
use crate::output;

/// Prints the page of `sio`; or writes all pages into a folder, which is made if it is not there.
pub(super) fn run(folder: Option<&Path>) -> Result<(), Failure> {
    // `sio help` is not a page of its own.
    let command = Args::command().disable_help_subcommand(true);
    let Some(folder) = folder else {
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(command).render(&mut page);
        written.map_err(Failure::system("cannot make the man page"))?;
        return output::print(&page);
    };
    let failed = || Failure::system(format!("cannot write man pages into {}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed())?;
    clap_mangen::generate_to(command, folder).map_err(failed())
}
