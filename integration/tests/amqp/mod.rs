//! RabbitMQ: faults, topology, permissions.

mod faults;
mod limits;
mod lines;
mod newer;
mod no_broker;
mod refusals;
mod tls;
mod topology;

use integration::DEADLINE;
use manager_amqp::AmqpOptions;

/// Options whose deadline is far beyond [`DEADLINE`], so that what comes within that did not wait for it, however busy the machine.
fn patient(channel: &str) -> AmqpOptions {
    let mut options = AmqpOptions::default();
    options.common.channel = channel.to_owned();
    options.common.deadline = 3 * DEADLINE;
    options
}
