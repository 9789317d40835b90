//! RabbitMQ: faults, and what is declared.

mod faults;
mod tls;
mod topology;
