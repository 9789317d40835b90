//! Bridges on a channel whose delivery the test decides.

use std::time::Duration;

use super::*;

const FIT: Condition = Condition {
    healthy: true,
    settled_for: Some(Duration::from_secs(3_600)),
    ailing_since: None,
};

/// Bridges that share a channel; `cut` are those whose beats do not pass, in either direction.
struct Fleet {
    now: Instant,
    bridges: Vec<(Election, Condition)>,
    cut: Vec<usize>,
    stopped: Vec<usize>,
}

impl Fleet {
    fn of(count: usize) -> Self {
        let bridge = |id| Election::new("b".into(), format!("id-{id}"), BridgeOptions::default());
        Self {
            now: Instant::now(),
            bridges: (0..count).map(|id| (bridge(id), FIT)).collect(),
            cut: Vec::new(),
            stopped: Vec::new(),
        }
    }

    /// Half a second passes: everyone ticks and sends a beat, which all receive. Never do two hold a lease.
    fn step(&mut self) {
        self.now += Duration::from_millis(500);
        let now = self.now;
        for sender in 0..self.bridges.len() {
            if self.stopped.contains(&sender) {
                continue;
            }
            let (election, condition) = &mut self.bridges[sender];
            election.tick(now, *condition);
            let beat = election.beat(now, *condition, 0);
            for receiver in 0..self.bridges.len() {
                let passes = |at: usize| !self.cut.contains(&at) && !self.stopped.contains(&at);
                if passes(sender) && passes(receiver) {
                    self.bridges[receiver].0.receive(now, &beat);
                }
            }
        }
        let active = self.active();
        assert!(active.len() <= 1, "{active:?} forward at the same time");
    }

    fn steps(&mut self, count: usize) {
        (0..count).for_each(|_| self.step());
    }

    /// The bridges that may forward at this moment.
    fn active(&self) -> Vec<usize> {
        let may = |(at, (election, _)): (usize, &(Election, Condition))| {
            election.lease().is_some_and(|until| self.now < until).then_some(at)
        };
        self.bridges.iter().enumerate().filter_map(may).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_several_forwards_and_another_follows_when_it_is_gone() {
    let mut fleet = Fleet::of(3);
    fleet.steps(12);
    let first = fleet.active();
    assert_eq!(first.len(), 1);
    fleet.steps(20);
    assert_eq!(fleet.active(), first, "it stays");
    fleet.stopped = first.clone();
    fleet.steps(3);
    assert_eq!(
        fleet.active(),
        [] as [usize; 0],
        "its lease is over, and no other has begun"
    );
    fleet.steps(10);
    let second = fleet.active();
    assert!(second.len() == 1 && second != first, "{second:?}");
    // The first one wakes up: it was frozen, and has a beat or two to catch up with.
    fleet.stopped.clear();
    fleet.steps(10);
    assert_eq!(fleet.active(), second);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_alone_forwards_after_it_has_listened() {
    let mut fleet = Fleet::of(1);
    fleet.steps(7);
    assert!(fleet.active().is_empty(), "another one might be there");
    fleet.steps(5);
    assert_eq!(fleet.active(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_is_cut_off_stops_by_itself_and_one_that_hears_nothing_does_not_begin() {
    let mut fleet = Fleet::of(2);
    fleet.steps(12);
    let (active, standby) = (fleet.active()[0], 1 - fleet.active()[0]);
    // A standby that hears nothing, itself included, knows nothing about the active one.
    fleet.cut = vec![standby];
    fleet.steps(30);
    assert_eq!(fleet.active(), [active]);
    fleet.cut = vec![active];
    fleet.steps(3);
    assert!(fleet.active().is_empty());
    fleet.steps(12);
    assert_eq!(fleet.active(), [standby]);
    fleet.cut.clear();
    fleet.steps(12);
    assert_eq!(fleet.active(), [standby]);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_resigns_or_leaves_is_followed_at_once() {
    for leaves in [false, true] {
        let mut fleet = Fleet::of(2);
        fleet.steps(12);
        let (active, standby) = (fleet.active()[0], 1 - fleet.active()[0]);
        let (election, condition) = &mut fleet.bridges[active];
        condition.settled_for = None;
        match leaves {
            true => election.leave(),
            false => election.resign(),
        }
        assert!(!election.is_followed());
        fleet.steps(4);
        assert_eq!(fleet.active(), [standby]);
        assert!(fleet.bridges[active].0.is_followed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_ailing_bridge_resigns_only_if_another_one_is_fit_a_while_later() {
    let mut fleet = Fleet::of(2);
    fleet.steps(12);
    let (active, standby) = (fleet.active()[0], 1 - fleet.active()[0]);
    fleet.bridges[active].1.ailing_since = Some(fleet.now);
    let should_resign = |fleet: &Fleet| {
        let (election, condition) = &fleet.bridges[active];
        election.should_resign(fleet.now, *condition)
    };
    assert!(!should_resign(&fleet), "what it has heard is from before");
    fleet.bridges[standby].1.settled_for = None;
    fleet.steps(4);
    assert!(!should_resign(&fleet), "the other one has missed something, too");
    fleet.bridges[standby].1.settled_for = Some(Duration::from_secs(1));
    fleet.steps(2);
    assert!(!should_resign(&fleet), "it has settled since, and knows no more");
    fleet.bridges[standby].1.settled_for = FIT.settled_for;
    fleet.steps(2);
    assert!(should_resign(&fleet));
    fleet.stopped = vec![standby];
    fleet.steps(6);
    assert!(!should_resign(&fleet), "the other one is gone");
}

#[tokio::test(start_paused = true)]
async fn bridges_of_another_name_are_not_heard() {
    let mut one = Election::new("b".into(), "one".into(), BridgeOptions::default());
    let mut other = Election::new("c".into(), "other".into(), BridgeOptions::default());
    let now = Instant::now();
    let mut beat = other.beat(now, FIT, 0);
    beat.duty = Duty::Active;
    assert!(!one.receive(now, &beat));
    assert_eq!(one.num_others(now), 0);
    beat.bridge = "b".into();
    assert!(one.receive(now, &beat));
    assert_eq!(one.num_others(now), 1);
}
