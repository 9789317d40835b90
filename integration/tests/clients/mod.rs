//! Clients of other implementations against our server: each client over each transport, every test by its own name.

#[macro_use]
mod ways;

mod connections;
mod emits;
mod guide;
mod handlers;
mod losses;
mod msgpack;
mod origins;
mod requests;
mod servers;
mod transports;
mod values;

use integration::client::{ConnectOptions, Kind, RealClient};
use socket_io::Socket;

use crate::served::Served;

/// The transports of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Polling,
    WebSocket,
    /// Begins with polling and goes on over a WebSocket.
    Upgrade,
}

/// Which client, and how it connects.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: Kind,
    over: Over,
}

impl Way {
    /// Returns how to connect to a server in this way.
    fn to(self, server: &Served) -> ConnectOptions {
        let options = ConnectOptions::to(&server.url());
        match self.over {
            Over::Polling => options.only("polling"),
            Over::WebSocket => options.only("websocket"),
            Over::Upgrade => options,
        }
    }

    /// Returns the transport that it ends on.
    fn transport(self) -> &'static str {
        match self.over {
            Over::Polling => "polling",
            Over::WebSocket | Over::Upgrade => "websocket",
        }
    }

    /// Connects a client, and returns it when its transport is the final one.
    async fn join(self, server: &mut Served) -> (RealClient, Socket) {
        let options = self.to(server);
        self.join_with(server, &options).await
    }

    async fn join_with(self, server: &mut Served, options: &ConnectOptions) -> (RealClient, Socket) {
        let mut client = RealClient::connected(self.kind, options).await;
        self.settled(&mut client).await;
        let (socket, _) = server.accepted().await;
        (client, socket)
    }

    /// Waits until the client's transport is the final one.
    async fn settled(self, client: &mut RealClient) {
        if self.over == Over::Upgrade {
            client.upgraded_to("websocket").await;
        }
    }
}

/// Makes of each function below one test for each way.
macro_rules! in_every_way {
    ($($function:path as $test:ident),* $(,)?) => {
        in_every_way!(@ node_by_polling, Node, Polling, [$($function as $test)*]);
        in_every_way!(@ node_by_websocket, Node, WebSocket, [$($function as $test)*]);
        in_every_way!(@ node_by_upgrade, Node, Upgrade, [$($function as $test)*]);
        in_every_way!(@ node_4_5_by_upgrade, Node45, Upgrade, [$($function as $test)*]);
        in_every_way!(@ browser_by_polling, Browser, Polling, [$($function as $test)*]);
        in_every_way!(@ browser_by_websocket, Browser, WebSocket, [$($function as $test)*]);
        in_every_way!(@ browser_by_upgrade, Browser, Upgrade, [$($function as $test)*]);
        in_every_way!(@ python_by_polling, Python, Polling, [$($function as $test)*]);
        in_every_way!(@ python_by_websocket, Python, WebSocket, [$($function as $test)*]);
        in_every_way!(@ python_by_upgrade, Python, Upgrade, [$($function as $test)*]);
    };
    (@ $way:ident, $kind:ident, $over:ident, [$($function:path as $test:ident)*]) => {
        mod $way {
            use super::{Kind, Over, Way, connections, guide, losses, values};

            $(#[tokio::test]
            async fn $test() {
                let way = Way { kind: Kind::$kind, over: Over::$over };
                $function(way).await;
            })*
        }
    };
}

in_every_way! {
    connections::auth as auth_reaches_the_connect_handler,
    connections::refusal as a_refusal_carries_its_data,
    connections::unknown_namespace as an_unknown_namespace_is_refused,
    connections::namespaces as two_namespaces_share_a_connection,
    connections::wrong_path as another_path_leads_nowhere,
    losses::by_server as the_server_disconnects,
    losses::by_closing as the_server_closes_the_connection,
    losses::by_client as the_client_disconnects,
    losses::by_network as a_lost_network_is_noticed,
    losses::restart as the_client_comes_back_after_a_restart,
    losses::shutdown as a_shutdown_lets_the_client_come_back,
    values::both_ways as values_arrive_as_they_were_sent,
    values::large as half_a_megabyte_passes,
    values::in_order as a_burst_arrives_once_and_in_order,
    values::asked as the_client_answers_the_server,
    guide::wildcards as catch_alls_handle_what_nothing_else_does,
    guide::groups as namespaces_that_match_can_be_joined,
    guide::parts_of_the_request as the_connect_handler_takes_parts_of_the_request,
    guide::types as a_namespace_type_handles_events_with_its_state,
    guide::sessions as sessions_are_kept_while_the_client_is_connected,
    guide::middleware as middleware_refuses_and_changes,
    guide::rooms_by_id as clients_are_managed_by_their_id,
}
