//! Window, bounds, cost and memory of the table.

use super::*;

const FIRST: Sighting = Sighting::First { has_evicted: false };
const WINDOW: Duration = Duration::from_secs(60);

fn key(name: impl std::fmt::Display) -> IdempotencyKey {
    IdempotencyKey::new(&name.to_string()).unwrap()
}

/// Whether a key of `/` is a repeat.
fn repeats(keys: &RecentKeys, name: impl std::fmt::Display) -> bool {
    matches!(keys.see(&NamespaceName::root(), &key(name)), Sighting::Repeat { .. })
}

#[tokio::test(start_paused = true)]
async fn a_key_is_known_for_the_window_and_not_longer() {
    let keys = RecentKeys::new(WINDOW, 1_000);
    // At any place within a tick.
    for offset in [0, 50, 99] {
        tokio::time::advance(Duration::from_millis(offset)).await;
        let name = format!("at {offset}");
        assert!(!repeats(&keys, &name));
        tokio::time::advance(WINDOW).await;
        assert!(repeats(&keys, &name), "the window is over too early");
        tokio::time::advance(2 * TICK).await;
        assert!(!repeats(&keys, &name), "a repeat does not extend the window");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_names_an_event_of_one_namespace() {
    let keys = RecentKeys::new(WINDOW, 1_000);
    let (root, chat) = (NamespaceName::root(), NamespaceName::new("/a").unwrap());
    for (namespace, name) in [(&root, "ab"), (&root, "b"), (&chat, "b"), (&chat, "ab"), (&root, "/ab")] {
        assert_eq!(keys.see(namespace, &key(name)), FIRST, "{namespace} {name}");
    }
    let known = Sighting::Repeat { num_clients: 0 };
    assert_eq!(keys.see(&chat, &key("b")), known);
    assert_eq!(keys.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_tells_how_many_clients_were_handed_the_first_copy() {
    let keys = RecentKeys::new(WINDOW, 1_000);
    let (root, key) = (NamespaceName::root(), key("k"));
    keys.handed(&root, &key, 1);
    assert_eq!(keys.see(&root, &key), FIRST);
    keys.handed(&root, &key, 7);
    assert_eq!(keys.see(&root, &key), Sighting::Repeat { num_clients: 7 });
    tokio::time::advance(2 * WINDOW).await;
    assert_eq!(keys.see(&root, &key), FIRST);
    assert_eq!(keys.see(&root, &key), Sighting::Repeat { num_clients: 0 });
}

#[tokio::test(start_paused = true)]
async fn one_key_too_many_replaces_the_oldest_and_is_counted_unless_that_has_expired() {
    let keys = RecentKeys::new(WINDOW, 3);
    for name in 0..3 {
        assert!(!repeats(&keys, name));
    }
    assert_eq!(keys.num_evicted(), 0);
    assert!(!repeats(&keys, 3));
    assert_eq!((keys.len(), keys.num_evicted()), (3, 1));
    for (name, is_known) in [(1, true), (2, true), (3, true), (0, false)] {
        assert_eq!(repeats(&keys, name), is_known, "{name}");
    }
    assert_eq!(keys.num_evicted(), 2, "0 came back and replaced 1");
    tokio::time::advance(2 * WINDOW).await;
    for name in 10..13 {
        assert!(!repeats(&keys, name));
    }
    assert_eq!((keys.len(), keys.num_evicted()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_came_again_after_its_time_has_a_whole_window_again() {
    let keys = RecentKeys::new(WINDOW, 1_000);
    // Expired keys before it, so that its own old entry is not removed when it comes again.
    for name in 0..10 {
        assert!(!repeats(&keys, name));
    }
    assert!(!repeats(&keys, "k"));
    tokio::time::advance(2 * WINDOW).await;
    assert!(!repeats(&keys, "k"));
    keys.sweep().await;
    assert_eq!(keys.len(), 1);
    assert!(repeats(&keys, "k"), "the removal of its old entry forgot the new one");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recognised_or_kept_where_it_is_off() {
    for keys in [RecentKeys::new(Duration::ZERO, 1_000), RecentKeys::new(WINDOW, 0)] {
        assert!(!repeats(&keys, "k") && !repeats(&keys, "k"));
        assert_eq!((keys.len(), keys.num_evicted()), (0, 0));
    }
    let keys = RecentKeys::new(Duration::MAX, 1_000);
    assert!(!repeats(&keys, "k"));
    tokio::time::advance(Duration::from_secs(365 * 24 * 3_600)).await;
    assert!(repeats(&keys, "k"));
}

#[tokio::test(start_paused = true)]
async fn expired_keys_are_removed_a_few_at_a_time_and_leave_no_memory() {
    let keys = RecentKeys::new(WINDOW, 100_000);
    for name in 0..10_000 {
        assert!(!repeats(&keys, name));
    }
    tokio::time::advance(2 * WINDOW).await;
    for (round, name) in (10_000..10_010).enumerate() {
        assert!(!repeats(&keys, name));
        // One came, two went.
        assert_eq!(keys.len(), 10_000 - round - 1);
    }
    // A sweep removes a part, then lets others run.
    let sweep = keys.sweep();
    assert!(futures_util::FutureExt::now_or_never(sweep).is_none(), "it yields");
    assert_eq!(keys.len(), 10_000 - 10 - EXPIRED_PER_STEP);
    keys.sweep().await;
    assert_eq!(keys.len(), 10);
    let state = keys.state();
    assert!(state.order.len() == 10 && state.order.capacity() <= 64 && state.seen.capacity() <= 64);
}

#[tokio::test]
async fn a_key_of_any_length_needs_little_memory() {
    assert_eq!(size_of::<(Fingerprint, Seen)>(), 20);
    assert_eq!(size_of::<(Fingerprint, u32)>(), 16);
    let keys = RecentKeys::new(WINDOW, 1_000_000);
    let long = "k".repeat(100);
    let mut worst = 0;
    for name in 1..=200_000_usize {
        assert!(!repeats(&keys, format_args!("{long}{name}")));
        if name.is_power_of_two() || name % 50_000 == 0 {
            let state = keys.state();
            // A hash table has an eighth more slots than its capacity, and a byte for each.
            let slots = (state.seen.capacity() * 8 / 7).next_power_of_two();
            let bytes = slots * 21 + state.order.capacity() * 16;
            worst = worst.max(if name < 1_024 { 0 } else { bytes / name });
        }
    }
    assert!(worst <= 80, "{worst} bytes for a key");
}

#[test]
fn of_copies_that_come_at_once_one_is_the_first() {
    let keys = RecentKeys::new(WINDOW, 1_000_000);
    let num_first = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let first = (0..2_000).filter(|name| !repeats(&keys, name)).count();
                num_first.fetch_add(first, std::sync::atomic::Ordering::Relaxed);
            });
        }
    });
    assert_eq!(num_first.into_inner(), 2_000);
}
