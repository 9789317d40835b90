//! What each subcommand does, one file each.

#[cfg(feature = "bridge")]
mod bridge;
mod completions;
#[cfg(feature = "serve")]
mod config;
#[cfg(feature = "connect")]
mod connect;
mod control;
#[cfg(feature = "serve")]
mod demo;
mod doctor;
mod emit;
#[cfg(feature = "serve")]
mod health;
mod inspect;
mod lines;
mod listen;
mod man;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod token;

use crate::failure::Failure;
use crate::plan::Plan;

/// Carries a plan out.
pub(crate) async fn run(plan: Plan) -> Result<(), Failure> {
    match plan {
        Plan::Emit(plan) => emit::run(plan).await,
        Plan::Lines(plan) => lines::run(plan).await,
        Plan::Control(plan) => control::run(plan).await,
        Plan::Listen(plan) => listen::run(plan).await,
        Plan::Doctor(plan) => doctor::run(plan).await,
        Plan::Inspect(plan) => inspect::run(plan).await,
        #[cfg(feature = "serve")]
        Plan::Serve(plan) => serve::run(*plan).await,
        #[cfg(feature = "bridge")]
        Plan::Bridge(plan) => bridge::run(*plan).await,
        #[cfg(feature = "relay")]
        Plan::Relay(plan) => relay::run(*plan).await,
        #[cfg(feature = "serve")]
        Plan::Health(args) => health::run(args).await,
        #[cfg(feature = "serve")]
        Plan::Demo(plan) => demo::run(plan).await,
        #[cfg(feature = "serve")]
        Plan::Token(plan) => token::run(&plan),
        #[cfg(feature = "connect")]
        Plan::Connect(plan) => connect::run(*plan).await,
        #[cfg(feature = "postgres")]
        Plan::Postgres(plan) => postgres::run(*plan).await,
        #[cfg(feature = "serve")]
        Plan::Config(plan) => config::run(&plan),
        Plan::Completions(shell) => completions::run(shell),
        Plan::Man(folder) => man::run(folder.as_deref()),
    }
}
