//! Nodes that fall silent, and a process that did not listen.

use std::time::Duration;

use service_registry::{Change, NodeStatus, Removal, Rules};

use crate::world::{World, node, s};

fn offline(changes: &[Change]) -> Vec<&str> {
    let mut offline = Vec::new();
    for change in changes {
        if let Change::NodeOffline { node, .. } = change {
            offline.push(&**node);
        }
    }
    offline
}

// N01
//= ORCH-3425 type=test
#[test]
fn two_lost_heartbeats_change_nothing() {
    let mut world = World::of(&["n1"]);
    assert_eq!(world.pass(Duration::from_millis(29_999)), []);
    assert_eq!(world.beat("n1"), Ok(vec![]));
    assert_eq!(world.pass(Duration::from_millis(29_999)), []);
    assert_eq!(world.status("n1"), NodeStatus::Online);
}

// N01
//= ORCH-3425 type=test
#[test]
fn a_node_that_is_silent_for_30_s_is_offline_until_its_next_heartbeat() {
    let mut world = World::of(&["n1"]);
    assert!(world.is_ready("n1"));
    let changes = world.pass(s(30));
    assert_eq!(offline(&changes), ["n1"]);
    assert!(matches!(&changes[0], Change::NodeOffline { silence, .. } if *silence == s(30)), "{changes:?}");
    assert!(matches!(&changes[1], Change::ReplicaReported { ready: false, .. }), "{changes:?}");
    assert_eq!(changes.len(), 2);
    assert_eq!(world.status("n1"), NodeStatus::Offline);
    world.beat("n1").unwrap();
    assert_eq!(world.status("n1"), NodeStatus::Online);
    assert!(world.is_ready("n1"));
}

//= ORCH-3425 type=test
#[test]
fn a_node_that_registers_and_says_no_more_is_offline_too() {
    let mut world = World::default();
    world.register(node("n1", "n1", None)).unwrap();
    assert_eq!(world.status("n1"), NodeStatus::Registering);
    world.pass(s(29));
    assert_eq!(world.status("n1"), NodeStatus::Registering);
    assert_eq!(offline(&world.pass(s(1))), ["n1"]);
    // A registration shows that somebody has its name, not that it is well.
    world.register(node("n1", "n1", None)).unwrap();
    assert_eq!(world.status("n1"), NodeStatus::Offline);
}

//= ORCH-3425 type=test
#[test]
fn a_node_that_is_silent_for_ten_minutes_is_gone_with_all_it_had() {
    let mut world = World::of(&["n1"]);
    world.pass(s(599));
    assert_eq!(world.registry.nodes().count(), 1);
    let changes = world.pass(s(1));
    assert!(matches!(&changes[0], Change::ReplicaGone { .. }), "{changes:?}");
    assert!(
        matches!(&changes[1], Change::NodeRemoved { why: Removal::Expired, .. }) && changes.len() == 2,
        "{changes:?}"
    );
    assert_eq!(world.registry.nodes().count(), 0);
    assert_eq!(world.registry.holders("p").count(), 0);
    assert!(world.beat("n1").is_err());
}

//= ORCH-3425 type=test
#[test]
fn a_heartbeat_that_says_the_same_again_changes_nothing() {
    let mut world = World::of(&["n1"]);
    for _ in 0..10 {
        assert_eq!(world.pass_with(&["n1"], s(10)), []);
    }
    assert_eq!(world.node("n1").heard_at() + s(10), world.now);
}

// S14
//= ORCH-3426 type=test
#[test]
fn a_process_that_stood_still_for_a_minute_sets_nobody_offline() {
    for pause in [s(3), s(60), s(3_600), s(86_400)] {
        let mut world = World::of(&["n1"]);
        world.pass(s(28));
        world.now += pause;
        assert_eq!(world.sweep(), [], "{pause:?}");
        assert_eq!(world.registry.own_lag() + s(1), pause);
        assert_eq!(world.status("n1"), NodeStatus::Online);
        // It has the rest of its time, and no more.
        assert_eq!(offline(&world.pass(s(1))), ["n1"]);
    }
}

// S14
//= ORCH-3426 type=test
#[test]
fn the_first_heartbeat_after_a_pause_is_as_good_as_a_sweep() {
    let mut world = World::of(&["a", "b"]);
    world.pass(s(20));
    world.now += s(60);
    world.beat("a").unwrap();
    assert_eq!(world.sweep(), []);
    assert_eq!(offline(&world.pass(s(9))), ["b"]);
}

#[test]
fn an_expiry_shorter_than_the_silence_waits_for_it() {
    let mut world = World::new(Rules { expire_after: s(1), ..Rules::default() });
    world.join("n1");
    world.pass(s(29));
    assert_eq!(world.status("n1"), NodeStatus::Online);
    world.pass(s(1));
    assert_eq!(world.registry.nodes().count(), 0);
}
