//! The examination of a broker: exchanges of other programs for Socket.IO.

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use manager_api::diagnosis::Examination;

use crate::connect::{Connector, Link};

/// The limit for closing the connection.
const LEAVE: Duration = Duration::from_secs(1);

/// Exchanges that are looked for by name, since AMQP cannot list them: of python-socketio, Flask-SocketIO, and adapters
/// of Node.
const KNOWN: [&str; 4] = ["socketio", "flask-socketio", "socket.io", "socket.io-amqp"];

/// Looks for exchanges with well-known names.
pub(crate) async fn other_exchanges(connector: &Connector) -> Examination {
    let mut examination = Examination::default();
    // The caller has reported before why it cannot connect.
    let Ok(link) = connector.within_timeout(connector.connect("examine")).await else {
        return examination;
    };
    for name in KNOWN {
        if name != connector.exchange() && exists(&link, name).await {
            examination.other_channels.push(name.to_owned());
        }
    }
    link.close(LEAVE).await;
    examination
}

/// Returns whether an exchange exists. Uses a channel of its own, which the broker closes if it does not.
async fn exists(link: &Link, exchange: &str) -> bool {
    let Ok(channel) = link.connection.create_channel().await else {
        return false;
    };
    let options = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let asked = channel.exchange_declare(exchange.into(), ExchangeKind::Fanout, options, FieldTable::default());
    match asked.await {
        Ok(()) => channel.close(200, "bye".into()).await.is_ok(),
        Err(_) => false,
    }
}
