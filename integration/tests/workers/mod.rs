//! The recipes of `docs/workers.md`: workers of job queues, cron and CI emit with a key. The first try of each job is lost
//! after its event was accepted, the job runs again, and the client in the room gets the event once.

mod http;
mod python;
mod rust;
mod stage;
mod steps;
