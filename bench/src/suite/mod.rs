//! Suites: rows of the tables in README and `docs/performance.md`, each a scenario and a figure, run for several targets in turn.

mod brokers;
mod chart;
mod documents;
mod emitters;
mod figures;
mod results;
mod rows;
mod runner;
mod server;
mod table;
mod targets;

pub use brokers::Broker;
pub use chart::chart;
pub use documents::publish;
pub use figures::{Cost, Figures, Measured};
pub use results::{Line, Results};
pub use rows::{Figure, Passing, ROWS, Row, Suite};
pub use runner::Run;
pub use table::table;
pub use targets::Kind;
