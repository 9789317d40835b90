//! RabbitMQ: faults, and what is declared.

mod faults;
mod permissions;
mod tls;
mod topology;
