//! The registry: rooms, skipped and excluded clients, snapshots, memory.

use super::*;

fn registry(clients: &[&str]) -> (Registry<String>, NamespaceName) {
    let registry = Registry::new();
    for sid in clients {
        registry
            .add(&NamespaceName::root(), &Sid::from(*sid), (*sid).to_owned())
            .unwrap();
    }
    (registry, NamespaceName::root())
}

fn members(registry: &Registry<String>, target: Target, skip: &[&str], except: &[&str]) -> Vec<String> {
    let skip: Vec<Sid> = skip.iter().map(|sid| Sid::from(*sid)).collect();
    let except: Vec<Room> = except.iter().map(|room| Room::from(*room)).collect();
    let recipients = registry.recipients(&NamespaceName::root(), &target, &skip, &except);
    let mut members: Vec<_> = recipients.iter().map(|member| member.handle.clone()).collect();
    members.sort();
    members
}

fn rooms(names: &[&str]) -> Target {
    Target::Rooms(names.iter().map(|name| Room::from(*name)).collect())
}

#[test]
fn rooms_are_a_union_without_duplicates() {
    let (registry, ns) = registry(&["a", "b", "c"]);
    for (sid, room) in [("a", "r1"), ("a", "r2"), ("b", "r2")] {
        assert!(registry.enter(&ns, &sid.into(), &room.into()).unwrap());
    }
    assert_eq!(members(&registry, rooms(&["r1", "r2"]), &[], &[]), ["a", "b"]);
    assert_eq!(members(&registry, rooms(&["r1", "a", "c"]), &[], &[]), ["a", "c"]);
    assert_eq!(members(&registry, rooms(&[]), &[], &[]), [""; 0]);
    assert_eq!(members(&registry, Target::Everyone, &["a"], &["r2"]), ["c"]);
    assert_eq!(members(&registry, rooms(&["r2"]), &["a"], &[]), ["b"]);
}

#[test]
fn every_client_is_in_a_room_named_by_its_own_id_and_cannot_leave_it() {
    let (registry, ns) = registry(&["a", "b"]);
    let a = Sid::from("a");
    assert_eq!(members(&registry, rooms(&["a"]), &[], &[]), ["a"]);
    assert!(!registry.enter(&ns, &a, &Room::from("a")).unwrap());
    assert!(!registry.leave(&ns, &a, &Room::from("a")).unwrap());
    assert_eq!(registry.rooms_of(&ns, &a), Some(vec![Room::from("a")]));
    // Other clients may be put into it.
    registry.enter(&ns, &"b".into(), &Room::from("a")).unwrap();
    assert_eq!(members(&registry, rooms(&["a"]), &[], &[]), ["a", "b"]);
}

#[test]
fn skipping_a_client_does_not_skip_others_in_its_room() {
    let (registry, ns) = registry(&["a", "b", "c"]);
    registry.enter(&ns, &"b".into(), &Room::from("a")).unwrap();
    assert_eq!(members(&registry, Target::Everyone, &["a"], &[]), ["b", "c"]);
    assert_eq!(members(&registry, rooms(&["a"]), &["a"], &[]), ["b"]);
    assert_eq!(members(&registry, Target::Everyone, &[], &["a"]), ["c"]);
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind() {
    let (registry, ns) = registry(&["a"]);
    registry.enter(&ns, &"a".into(), &"r".into()).unwrap();
    assert_eq!(registry.size(), (1, 1));
    let removed = registry.remove(&ns, &"a".into()).unwrap();
    assert_eq!(
        (removed.handle.as_str(), removed.rooms),
        ("a", vec!["a".into(), "r".into()])
    );
    assert_eq!(registry.size(), (0, 0));
    assert_eq!(registry.everyone.len(), 0);
    assert!(registry.remove(&ns, &"a".into()).is_none());
    let error = registry.enter(&ns, &"a".into(), &"r".into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn namespaces_do_not_see_each_other() {
    let (registry, ns) = registry(&["a"]);
    let chat = NamespaceName::new("/chat").unwrap();
    registry.add(&chat, &"a".into(), "chat-a".into()).unwrap();
    registry.enter(&chat, &"a".into(), &"r".into()).unwrap();
    assert_eq!(members(&registry, rooms(&["r"]), &[], &[]), [""; 0]);
    assert_eq!((registry.num_clients(&ns), registry.num_clients(&chat)), (1, 1));
}

#[test]
fn a_snapshot_does_not_change_while_members_come_and_go() {
    let (registry, ns) = registry(&[]);
    let names: Vec<String> = (0..1000).map(|i| format!("c{i}")).collect();
    for name in &names {
        registry.add(&ns, &name.as_str().into(), name.clone()).unwrap();
        registry.enter(&ns, &name.as_str().into(), &"r".into()).unwrap();
    }
    let before = registry.recipients(&ns, &rooms(&["r"]), &[], &[]);
    for name in names.iter().step_by(2) {
        registry.leave(&ns, &name.as_str().into(), &"r".into()).unwrap();
    }
    assert_eq!(before.iter().count(), 1000);
    let mut left = members(&registry, rooms(&["r"]), &[], &[]);
    let mut expected: Vec<_> = names.iter().skip(1).step_by(2).cloned().collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn joins_and_leaves_from_many_threads_end_where_they_should() {
    let (registry, ns) = registry(&["a", "b", "c", "d"]);
    std::thread::scope(|scope| {
        for sid in ["a", "b", "c", "d"] {
            let (registry, ns) = (&registry, &ns);
            scope.spawn(move || {
                for i in 0..2000 {
                    let room = Room::from(i % 7);
                    registry.enter(ns, &sid.into(), &room).unwrap();
                    registry.leave(ns, &sid.into(), &room).unwrap();
                }
                registry.remove(ns, &sid.into()).unwrap();
            });
        }
    });
    assert_eq!(registry.size(), (0, 0));
}

#[test]
fn the_tables_of_many_clients_are_not_kept_for_the_few_that_stay() {
    let (registry, ns) = registry(&[]);
    let names: Vec<String> = (0..20_000).map(|i| format!("c{i}")).collect();
    for name in &names {
        registry.add(&ns, &name.as_str().into(), name.clone()).unwrap();
        registry
            .enter(&ns, &name.as_str().into(), &format!("of {name}").into())
            .unwrap();
    }
    let capacity = || (registry.clients.capacity(), registry.rooms.capacity());
    let most = capacity();
    let remove = |name: &String| drop(registry.remove(&ns, &name.as_str().into()).unwrap());
    names[1_000..].iter().for_each(remove);
    let few = capacity();
    assert!(few.0 < most.0 / 4 && few.1 < most.1 / 4, "{few:?} of {most:?}");
    names[..1_000].iter().for_each(remove);
    assert_eq!(capacity(), (0, 0));
}
