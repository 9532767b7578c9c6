//! Many nodes that fall silent together.

use service_registry::{AlarmEnd, Change, MassSilence, NodeStatus};

use crate::world::{World, s};

const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];

fn offline_count(changes: &[Change]) -> usize {
    changes.iter().filter(|change| matches!(change, Change::NodeOffline { .. })).count()
}

fn alarm(changes: &[Change]) -> Option<MassSilence> {
    changes.iter().find_map(|change| if let Change::Alarm(mass) = change { Some(*mass) } else { None })
}

fn end(changes: &[Change]) -> Option<AlarmEnd> {
    changes.iter().find_map(|change| if let Change::AlarmOver(end) = change { Some(*end) } else { None })
}

// N05
//= ORCH-3430 type=test
#[test]
fn when_most_nodes_fall_silent_nobody_is_offline_for_a_minute() {
    let mut world = World::of(&NODES);
    let changes = world.pass_with(&["n1"], s(30));
    assert_eq!(alarm(&changes), Some(MassSilence { silent: 3, of: 4 }));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(NODES[1..].iter().all(|id| world.node(id).is_suspect() && world.is_ready(id)));
    assert!(!world.node("n1").is_suspect());
    // Even one that falls silent later.
    let changes = world.pass(s(59));
    assert_eq!(changes, []);
    assert_eq!(world.status("n2"), NodeStatus::Online);
    let changes = world.pass(s(1));
    assert_eq!(offline_count(&changes), 4);
    assert_eq!(end(&changes), Some(AlarmEnd::TimedOut));
    assert!(NODES.iter().all(|id| world.status(id) == NodeStatus::Offline && !world.is_ready(id)));
    assert_eq!(world.pass(s(120)), []);
}

// N05
//= ORCH-3430 type=test
#[test]
fn an_alarm_is_over_when_all_who_are_suspect_are_heard() {
    let mut world = World::of(&NODES);
    world.pass_with(&["n1"], s(40));
    assert_eq!(world.beat("n2"), Ok(vec![]));
    assert_eq!(world.beat("n3"), Ok(vec![]));
    assert_eq!(world.beat("n4"), Ok(vec![Change::AlarmOver(AlarmEnd::Returned)]));
    assert_eq!(world.pass_with(&NODES, s(300)), []);
}

// N05
//= ORCH-3430 type=test
#[test]
fn an_alarm_is_over_when_the_last_suspect_leaves() {
    let mut world = World::of(&["n1", "n2", "n3"]);
    assert!(alarm(&world.pass_with(&["n1"], s(30))).is_some());
    world.beat("n2").unwrap();
    assert_eq!(end(&world.leave("n3").unwrap()), Some(AlarmEnd::Returned));
}

// N05
//= ORCH-3430 type=test
#[test]
fn who_returned_is_online_when_the_minute_is_over_and_the_rest_is_not() {
    let mut world = World::of(&NODES);
    world.pass_with(&["n1"], s(30));
    let changes = world.pass_with(&["n1", "n2"], s(60));
    assert_eq!(offline_count(&changes), 2);
    assert_eq!(world.status("n2"), NodeStatus::Online);
    assert_eq!(world.status("n3"), NodeStatus::Offline);
}

// N05
//= ORCH-3430 type=test
#[test]
fn heartbeats_that_are_spread_do_not_hide_that_all_fell_silent() {
    let mut world = World::of(&NODES);
    // They are heard one after the other, then never again: the first is due ten seconds before the last.
    for id in NODES {
        world.beat(id).unwrap();
        world.pass(s(3));
    }
    let changes = world.pass(s(30));
    assert_eq!(alarm(&changes), Some(MassSilence { silent: 4, of: 4 }));
    assert_eq!(offline_count(&changes), 0);
}

//= ORCH-3430 type=test
#[test]
fn half_of_the_nodes_are_not_most_of_them() {
    let mut world = World::of(&NODES);
    let changes = world.pass_with(&["n1", "n2"], s(40));
    assert_eq!(alarm(&changes), None);
    assert_eq!(offline_count(&changes), 2);
}

//= ORCH-3430 type=test
#[test]
fn who_fell_silent_a_minute_ago_counts_no_more() {
    for (wait, alarmed) in [(s(10), true), (s(50), false)] {
        let mut world = World::of(&["n1", "n2", "n3"]);
        assert_eq!(offline_count(&world.pass_with(&["n1", "n2"], s(30))), 1);
        let changes = world.pass_with(&["n1", "n2"], wait);
        assert_eq!(changes, []);
        let changes = world.pass_with(&["n1"], s(40));
        assert_eq!(alarm(&changes).is_some(), alarmed, "{changes:?}");
        assert_eq!(offline_count(&changes), usize::from(!alarmed));
    }
}

//= ORCH-3430 type=test
#[test]
fn who_fell_silent_under_an_alarm_is_no_reason_for_another() {
    let mut world = World::of(&NODES);
    let changes = world.pass_with(&["n1"], s(90));
    assert_eq!((offline_count(&changes), end(&changes)), (3, Some(AlarmEnd::TimedOut)));
    world.join("n5");
    world.join("n6");
    let changes = world.pass_with(&["n1", "n6"], s(30));
    assert_eq!((offline_count(&changes), alarm(&changes)), (1, None));
}

//= ORCH-3430 type=test
#[test]
fn two_nodes_are_too_few_for_an_alarm() {
    let mut world = World::of(&["n1", "n2"]);
    let changes = world.pass(s(30));
    assert_eq!(alarm(&changes), None);
    assert_eq!(offline_count(&changes), 2);
}
