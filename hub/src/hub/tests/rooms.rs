//! Many rooms: yielding to other tasks, and limits.

use std::collections::HashSet;

use super::*;
use crate::registry::{REMOVED_AT_ONCE, Registry};

const MANY: usize = 50_000;

fn rooms(count: usize) -> Vec<Room> {
    (0..count).map(|number| Room::from(format!("r{number}"))).collect()
}

/// Returns options that allow `max` rooms per client, and as many names per message.
fn with_rooms(max: usize) -> HubOptions {
    HubOptions {
        max_rooms_per_client: max,
        max_message_names: max,
        ..HubOptions::default()
    }
}

/// Counts the different numbers of rooms that another task sees between `from` and `to`, until it sees `to`.
async fn turns_between(hub: Arc<Hub<Recorder>>, from: usize, to: usize) -> usize {
    let mut seen = HashSet::new();
    loop {
        let (_, num_rooms) = hub.registry().size();
        if num_rooms == to {
            return seen.len();
        }
        if num_rooms != from {
            seen.insert(num_rooms);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_with_many_rooms_lets_other_tasks_run() {
    let bus = MemoryBus::new();
    let (host, _) = Host::start_with(bus.manager("c"), with_rooms(MANY)).await;
    host.add("a");
    let turns = tokio::spawn(turns_between(host.hub.clone(), 0, MANY));
    let other = Host::start_with(bus.manager("c"), with_rooms(MANY)).await.0;
    other.hub.broadcast().sockets_join(rooms(MANY)).await.unwrap();
    let turns = tokio::time::timeout(Duration::from_secs(60), turns).await;
    let turns = turns.expect("all rooms are entered").unwrap();
    assert!(turns >= 5, "another task ran {turns} times meanwhile");
    // The same for removal.
    let key = host
        .hub
        .registry()
        .recipients(&NamespaceName::root(), &Target::Everyone, &[], &[]);
    let key = key.iter().next().unwrap().key;
    let turns = tokio::spawn(turns_between(host.hub.clone(), MANY, 0));
    assert_eq!(
        host.hub.remove(&NamespaceName::root(), &"a".into(), key).len(),
        MANY + 1
    );
    assert!(
        host.hub.registry().size().1 >= MANY - REMOVED_AT_ONCE,
        "it was not all done at once"
    );
    let turns = tokio::time::timeout(Duration::from_secs(60), turns).await;
    let turns = turns.expect("all rooms are left").unwrap();
    assert!(turns >= 5, "another task ran {turns} times meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_room_over_the_limit_is_refused_to_a_local_caller_and_counted_for_a_remote_one() {
    let bus = MemoryBus::new();
    let (mut one, _) = Host::start_with(bus.manager("c"), with_rooms(3)).await;
    let (mut two, _) = Host::start_with(bus.manager("c"), with_rooms(3)).await;
    one.add("a");
    two.add("c");
    let io = one.hub.broadcast();
    for room in ["x", "y", "z", "z", "a"] {
        io.clone().enter_room("a", room).await.unwrap();
    }
    let error = io.clone().enter_room("a", "one more").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("max_rooms_per_client"), "{error}");
    let error = io.clone().enter_room("a", "n".repeat(2_000)).await.unwrap_err();
    assert!(error.to_string().contains("max_room_name_bytes"), "{error}");
    assert_eq!(one.rooms("a").len(), 4);
    assert_eq!(one.hub.metrics().rooms_refused, 0, "the caller received the error");
    // Remote commands, one by one and all at once.
    for room in ["x", "y"] {
        io.clone().enter_room("c", room).await.unwrap();
    }
    io.clone().to_all(["c", "a"]).sockets_join(["u"]).await.unwrap();
    io.clone().enter_room("c", "too many").await.unwrap();
    settle(&one, &mut two, "c").await;
    assert_eq!((two.rooms("c").len(), two.hub.metrics().rooms_refused), (4, 1));
    assert_eq!(
        one.hub.metrics().rooms_refused,
        1,
        "`u` for `a`, which is reported to no caller"
    );
    // A client that leaves a room may enter another one.
    io.clone().leave_room("c", "x").await.unwrap();
    io.clone().enter_room("c", "v").await.unwrap();
    settle(&one, &mut two, "c").await;
    assert!(two.rooms("c").contains(&"v".into()));
    settle(&two, &mut one, "a").await;
}

#[tokio::test(start_paused = true)]
async fn what_names_too_much_is_refused_where_it_is_sent_and_passed_over_where_it_comes() {
    let bus = MemoryBus::new();
    let (mut one, _) = Host::start_with(bus.manager("c"), with_rooms(10)).await;
    one.add("a");
    let io = one.hub.broadcast();
    let many = || io.clone().to_all(rooms(7)).except("x").skip("y").skip("z");
    many().to("a").emit("fits", &()).await.unwrap();
    one.expect("a", "fits []").await;
    for error in [
        many().to("a").to("b").to("c").emit("e", &()).await.unwrap_err(),
        many().sockets_join(["1", "2"]).await.unwrap_err(),
        many().to("a").to("b").to("c").fetch_sockets().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    // A sender with higher limits sends it all the same.
    Emitter::new(bus.manager("c"))
        .broadcast()
        .to_all(rooms(12))
        .emit("e", &())
        .await
        .unwrap();
    Emitter::new(bus.manager("c")).to("a").emit("later", &()).await.unwrap();
    one.expect("a", "later []").await;
    assert_eq!(one.hub.metrics().undecodable, 1);
}

#[test]
fn a_selection_of_many_rooms_is_taken_in_steps_and_in_groups_of_a_bounded_size() {
    let registry = Registry::new();
    let namespace = NamespaceName::root();
    let (all, excluded) = (rooms(1_000), [Room::from("no")]);
    for number in 0..3_000 {
        let sid = Sid::from(format!("c{number}"));
        registry.add(&namespace, &sid, number).unwrap();
        registry.enter(&namespace, &sid, &all[number % 1_000]).unwrap();
        registry.enter(&namespace, &sid, &all[(number + 1) % 1_000]).unwrap();
        if number % 3 == 0 {
            registry.enter(&namespace, &sid, &excluded[0]).unwrap();
        }
    }
    let (target, skip) = (Target::Rooms(all), [Sid::from("c1"), Sid::from("unknown")]);
    let mut selecting = Selecting::start(&registry, &namespace, &target, &skip, &excluded);
    let mut steps = 1;
    while !selecting.step(100) {
        steps += 1;
    }
    // 1,000 rooms with 6 members each, 2 that are skipped, and 1 room of 1,000 that is excluded.
    assert!((50..=100).contains(&steps), "{steps} steps");
    let found = selecting.finish();
    let mut numbers: Vec<_> = found.iter().map(|member| member.handle).collect();
    numbers.sort_unstable();
    let expected: Vec<_> = (0..3_000).filter(|number| number % 3 != 0 && *number != 1).collect();
    assert_eq!(numbers, expected);
    assert!(found.chunks().all(|chunk| chunk.count() <= 256));
}
