//! Tests with one client of each implementation, where more combinations would show nothing else.

/// Makes of each function of the module one test for each client, which upgrades.
macro_rules! by_upgrade {
    ($($function:ident as $test:ident),* $(,)?) => {
        in_one_way!(node_by_upgrade, Node, Upgrade, [$($function as $test)*]);
        in_one_way!(python_by_upgrade, Python, Upgrade, [$($function as $test)*]);
        in_one_way!(browser_by_upgrade, Browser, Upgrade, [$($function as $test)*]);
    };
}

/// The same with clients that stay on long-polling.
macro_rules! by_polling {
    ($($function:ident as $test:ident),* $(,)?) => {
        in_one_way!(node_by_polling, Node, Polling, [$($function as $test)*]);
        in_one_way!(python_by_polling, Python, Polling, [$($function as $test)*]);
        in_one_way!(browser_by_polling, Browser, Polling, [$($function as $test)*]);
    };
}

macro_rules! in_one_way {
    ($way:ident, $kind:ident, $over:ident, [$($function:ident as $test:ident)*]) => {
        mod $way {
            use crate::clients::{Kind, Over, Way};

            $(#[tokio::test]
            async fn $test() {
                let way = Way { kind: Kind::$kind, over: Over::$over };
                super::$function(way).await;
            })*
        }
    };
}
