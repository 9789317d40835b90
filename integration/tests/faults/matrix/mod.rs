//! Every fault on every broker, while a second process publishes numbers all the time.
//!
//! `accepted − received − gaps = 0`: each number that the broker accepted is received, once and in order, or a `Gap` was yielded between
//! what came before it and what came after ([`Balance`]). A row makes the fault between [`Run::start`] and [`Run::balance`].

mod amqp;
mod balance;
mod kafka;
mod outage;
mod postgres;
mod redis;
mod run;

pub(crate) use balance::Balance;
pub(crate) use run::Run;
