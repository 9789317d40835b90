//! The clients of a fleet, found and counted.

use integration::DEADLINE;
use manager_api::Room;
use serde_json::{Value, json};

use crate::node::fleet::Fleet;

super::on_every_wire! { clients_are_found_and_counted }

pub(super) async fn clients_are_found_and_counted(mut fleet: Fleet) {
    fleet.join(0, &[json!("a"), json!(7)]).await;
    fleet.join(1, &[json!("b")]).await;
    let data = json!({ "name": "ada", "tags": [1, null] });
    let set = fleet.clients[0].emit_with_ack("data", json!([data]), DEADLINE).await;
    assert_eq!(set, Some(vec![json!(true)]));

    let all = fleet.emitter.broadcast().timeout(DEADLINE);
    let found = all.clone().fetch_sockets().await.unwrap();
    assert_eq!(
        (found.num_servers, found.missing_servers.len(), found.is_truncated),
        (2, 0, false)
    );
    let mut ids: Vec<_> = found.found.iter().map(|socket| socket.id.to_string()).collect();
    let mut expected = fleet.ids.clone();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);

    let found = all.clone().to("a").fetch_sockets().await.unwrap();
    let [ada] = &found.found[..] else { panic!("{found:?}") };
    assert_eq!(ada.id.as_str(), fleet.ids[0]);
    assert_eq!(ada.rooms, [Room::from(&*fleet.ids[0]), "a".into(), 7.into()]);
    assert_eq!(ada.data::<Value>().unwrap(), Some(data));
    assert!(ada.connected_for.is_some_and(|time| time < DEADLINE), "{ada:?}");

    for (clients, expected) in [
        (all.clone(), 2),
        (all.clone().to("a").to("b"), 2),
        (all.clone().to(7), 1),
        (all.clone().except("a"), 1),
        (all.clone().skip(&*fleet.ids[0]).except("b"), 0),
        (all.clone().to("nowhere"), 0),
        (all.clone().of("/chat"), 2),
    ] {
        let counted = clients.clone().count_sockets().await.unwrap();
        assert_eq!((counted.found, counted.num_servers), (expected, 2), "{clients:?}");
    }
    let none: [&str; 0] = [];
    let counted = all.to_all(none).count_sockets().await.unwrap();
    assert_eq!(counted.found, 2);
}
