//! RabbitMQ: faults, and what is declared.

mod faults;
mod limits;
mod permissions;
mod tls;
mod topology;
