use manager_api::topics::Interests;

use super::*;

fn wanted(name: &str) -> Wanted {
    let (command, name) = ("SSUBSCRIBE", name.into());
    Wanted { command, name }
}

fn table() -> (Interests, Table) {
    let (interests, changes) = Interests::channel(Vec::new(), 100).unwrap();
    let mut table = Table::new(Arc::new(changes), &RedisOptions::default());
    table.clear();
    (interests, table)
}

/// Takes the commands for a connection, as text.
fn sent(table: &mut Table, node: usize) -> Vec<String> {
    let commands = table.take_commands(node, 10).into_iter();
    let text = |command: Command| format!("{}{}", if command.begins { '+' } else { '-' }, command.wanted.name);
    commands.map(text).collect()
}

#[test]
fn what_is_added_and_removed_before_it_was_sent_costs_no_command() {
    let (interests, mut table) = table();
    let interest = wanted("a").interest();
    interests.add(interest.clone()).unwrap();
    table.follow();
    interests.remove(&interest);
    assert_eq!(sent(&mut table, 0), [""; 0]);
    interests.add(interest.clone()).unwrap();
    table.follow();
    assert_eq!(sent(&mut table, 0), ["+a"]);
    table.subscribed(&wanted("a"));
    interests.remove(&interest);
    table.follow();
    interests.add(interest).unwrap();
    assert_eq!(sent(&mut table, 0), [""; 0]);
}

#[test]
fn a_change_while_a_command_is_under_way_waits_for_its_reply() {
    let (interests, mut table) = table();
    let (a, interest) = (wanted("a"), wanted("a").interest());
    interests.add(interest.clone()).unwrap();
    table.follow();
    assert_eq!(sent(&mut table, 0), ["+a"]);
    interests.remove(&interest);
    table.follow();
    assert_eq!(sent(&mut table, 0), [""; 0]);
    table.subscribed(&a);
    assert_eq!(sent(&mut table, 0), ["-a"]);
    interests.add(interest).unwrap();
    table.follow();
    assert_eq!(sent(&mut table, 0), [""; 0]);
    table.unsubscribed(&a);
    assert_eq!(sent(&mut table, 0), ["+a"]);
}

#[test]
fn the_node_of_a_slot_is_asked_first_the_next_time() {
    let (interests, mut table) = table();
    let node = Address {
        host: "b".to_owned(),
        port: 1,
    };
    for name in ["{x}1", "{x}2"] {
        interests.add(wanted(name).interest()).unwrap();
    }
    table.follow();
    let mut first = sent(&mut table, 0);
    first.sort();
    assert_eq!(first, ["+{x}1", "+{x}2"]);
    table.moved(&wanted("{x}1"), &node);
    assert_eq!((table.num_nodes(), sent(&mut table, 1)), (2, vec!["+{x}1".to_owned()]));
    interests.add(wanted("{x}3").interest()).unwrap();
    table.follow();
    assert_eq!(
        (sent(&mut table, 0), sent(&mut table, 1)),
        (vec![], vec!["+{x}3".to_owned()])
    );
    // It is lost: any other one is asked, and later.
    table.unreachable(1, &Arc::new(Failure::closed("b:1")));
    interests.add(wanted("{x}4").interest()).unwrap();
    table.follow();
    assert_eq!(sent(&mut table, 0), ["+{x}4"]);
}

#[tokio::test]
async fn a_name_that_fails_is_tried_again_and_known_to_be_late() {
    let (interests, mut table) = table();
    interests.add(wanted("a").interest()).unwrap();
    table.follow();
    sent(&mut table, 0);
    table.failed(&wanted("a"), &Arc::new(Failure::closed("b:1")));
    assert!(table.retry_at().is_some());
    table.retry();
    assert_eq!(sent(&mut table, 0), ["+a"]);
    assert!(table.subscribed(&wanted("a")));
    assert!(!table.subscribed(&wanted("a")));
}

#[test]
fn a_node_that_is_away_for_long_is_one_node_however_often_it_is_named() {
    let (interests, mut table) = table();
    let (a, node) = (
        wanted("a"),
        Address {
            host: "b".to_owned(),
            port: 1,
        },
    );
    interests.add(a.interest()).unwrap();
    table.follow();
    for _ in 0..10 {
        assert_eq!(sent(&mut table, 0), ["+a"]);
        table.moved(&a, &node);
        assert!(!table.is_dead(1));
        table.unreachable(1, &Arc::new(Failure::other("b:1", "away")));
        assert!(table.is_dead(1));
        table.retry();
    }
    assert_eq!(table.num_nodes(), 2);
}
