//! Nodes that come and go.

use std::time::Duration;

use service_registry::{Change, NodeStatus};

use crate::world::{World, node, numbered, s};

/// The node is silent until it is offline, and then heard.
fn fall_and_return(world: &mut World) -> Duration {
    world.pass(s(30));
    assert_eq!(world.status("n1"), NodeStatus::Offline);
    let changes = world.beat("n1").unwrap();
    let damped = changes.iter().find_map(|change| match change {
        Change::NodeOnline { damped_for, .. } => Some(*damped_for),
        _ => None,
    });
    damped.unwrap()
}

// N03
//= ORCH-3428 type=test
#[test]
fn the_first_return_is_at_once_and_each_further_one_takes_twice_as_long() {
    let mut world = World::of(&["n1"]);
    assert_eq!(fall_and_return(&mut world), s(0));
    assert!(world.is_ready("n1") && !world.node("n1").is_damped());
    for pause in [20, 40, 80, 160, 300, 300] {
        assert_eq!(fall_and_return(&mut world), s(pause));
        assert!(!world.is_ready("n1") && world.node("n1").is_damped());
        assert_eq!(world.status("n1"), NodeStatus::Online);
        assert_eq!(world.pass_with(&["n1"], s(pause - 1)), []);
        assert!(!world.is_ready("n1"));
        let changes = world.pass(s(1));
        assert!(matches!(changes[..], [Change::ReplicaReported { ready: true, .. }]), "{changes:?}");
        assert!(world.is_ready("n1") && !world.node("n1").is_damped());
        world.beat("n1").unwrap();
    }
}

//= ORCH-3428 type=test
#[test]
fn who_was_never_heard_did_not_fall() {
    let mut world = World::default();
    world.register(node("n1", "n1", None)).unwrap();
    assert_eq!(fall_and_return(&mut world), s(0));
    assert_eq!(fall_and_return(&mut world), s(0));
    assert_eq!(fall_and_return(&mut world), s(20));
}

// N03
//= ORCH-3428 type=test
#[test]
fn stability_is_counted_from_the_last_return() {
    let mut world = World::of(&["n1"]);
    fall_and_return(&mut world);
    assert_eq!(fall_and_return(&mut world), s(20));
    // It falls again before it had work.
    assert_eq!(fall_and_return(&mut world), s(40));
    world.pass_with(&["n1"], s(39));
    assert!(!world.is_ready("n1"));
    world.pass(s(1));
    assert!(world.is_ready("n1"));
}

// N03
//= ORCH-3428 type=test
#[test]
fn a_new_life_does_not_escape_the_wait() {
    let mut world = World::of(&["n1"]);
    fall_and_return(&mut world);
    world.pass(s(30));
    world.register(node("n1", "n1", Some(1))).unwrap();
    let changes = world.say("n1", numbered(1, 1)).unwrap();
    assert!(
        changes.iter().any(|it| matches!(it, Change::NodeOnline { damped_for, .. } if *damped_for == s(20)))
    );
    assert!(!world.is_ready("n1"));
}

// N03
//= ORCH-3428 type=test
#[test]
fn however_a_node_comes_and_goes_its_work_starts_a_bounded_number_of_times_an_hour() {
    // The worst that a node can do: it falls as soon as it has work, for as long as it takes and no longer.
    let mut world = World::of(&["n1"]);
    let mut starts = vec![world.now];
    while world.now < s(6 * 3_600) {
        let pause = fall_and_return(&mut world);
        world.pass_with(&["n1"], pause);
        assert!(world.is_ready("n1"));
        starts.push(world.now);
    }
    let within_an_hour =
        |from: &Duration| starts.iter().filter(|at| (*from..*from + s(3_600)).contains(at)).count();
    let most = starts.iter().map(within_an_hour).max().unwrap();
    assert!((10..=16).contains(&most), "{most}");
}
