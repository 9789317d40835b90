//! RabbitMQ: faults, and what is declared.

mod faults;
mod limits;
mod lines;
mod newer;
mod nobody_there;
mod permissions;
mod tls;
mod topology;
