//! Suites: rows of the tables in README and `docs/performance.md`, each a scenario and a figure, run for several targets in turn.

mod chart;
mod results;
mod rows;
mod runner;
mod table;
mod targets;

pub use chart::chart;
pub use results::{Line, Results};
pub use rows::{Figure, ROWS, Row};
pub use runner::Run;
pub use table::table;
pub use targets::Kind;
