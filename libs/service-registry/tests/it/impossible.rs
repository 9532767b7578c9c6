//! Nodes that say what cannot be.

use pool_registry_types::Fault;
use service_registry::{Change, NodeStatus, Refusal, Removal};

use crate::world::{World, contact, impossible, node, numbered, s};

fn field(answer: Result<Vec<Change>, Refusal>) -> String {
    match answer {
        Err(Refusal::Malformed(Fault { field, .. })) => field,
        other => panic!("{other:?}"),
    }
}

fn quarantined() -> World {
    let mut world = World::of(&["n1"]);
    for _ in 0..3 {
        assert_eq!(field(world.say("n1", impossible())), "pools[0].slots_free");
    }
    assert_eq!(world.status("n1"), NodeStatus::Failed);
    world
}

// N06
//= ORCH-3431 type=test
#[test]
fn three_impossible_reports_in_a_row_bring_a_node_into_quarantine() {
    let mut world = World::of(&["n1"]);
    for _ in 0..2 {
        assert_eq!(field(world.say("n1", impossible())), "pools[0].slots_free");
        assert!(world.is_ready("n1"));
    }
    // A sound one between them: it begins anew.
    world.beat("n1").unwrap();
    for _ in 0..2 {
        world.say("n1", impossible()).unwrap_err();
    }
    assert_eq!(world.status("n1"), NodeStatus::Online);
    world.say("n1", impossible()).unwrap_err();
    assert_eq!(world.status("n1"), NodeStatus::Failed);
    assert!(world.node("n1").is_quarantined() && !world.is_ready("n1"));
}

// N06
//= ORCH-3431 type=test
#[test]
fn a_quarantine_is_told_with_its_reason_by_the_next_call() {
    let mut world = World::of(&["n1", "n2"]);
    for _ in 0..3 {
        let answer = world.registry.heartbeat(world.now, "n1", impossible(), contact("n1"));
        assert!(answer.is_err());
    }
    let changes = world.beat("n2").unwrap();
    match &changes[..] {
        [
            Change::NodeQuarantined { fault: Some(fault), .. },
            Change::ReplicaReported { ready: false, .. },
        ] => {
            assert_eq!(fault.field, "pools[0].slots_free");
        }
        other => panic!("{other:?}"),
    }
}

// N06
//= ORCH-3431 type=test
#[test]
fn a_quarantine_ends_with_a_registration_and_not_before_a_minute() {
    let mut world = quarantined();
    assert_eq!(world.beat("n1"), Err(Refusal::Quarantined { wait: s(60) }));
    world.pass(s(20));
    world.register(node("n1", "n1", None)).unwrap();
    assert_eq!(world.beat("n1"), Err(Refusal::Quarantined { wait: s(40) }));
    assert_eq!(world.pass(s(39)), []);
    let changes = world.pass(s(1));
    assert!(matches!(changes[..], [Change::NodeReleased { .. }]), "{changes:?}");
    assert!(!world.is_ready("n1"));
    world.beat("n1").unwrap();
    assert!(world.is_ready("n1"));
}

// N06
//= ORCH-3431 type=test
#[test]
fn after_the_minute_a_node_in_quarantine_is_told_to_register() {
    let mut world = quarantined();
    world.pass(s(60));
    assert_eq!(world.status("n1"), NodeStatus::Failed);
    assert_eq!(world.beat("n1"), Err(Refusal::Unknown));
    let changes = world.register(node("n1", "n1", None)).unwrap();
    assert!(changes.iter().any(|it| matches!(it, Change::NodeReleased { .. })), "{changes:?}");
    world.beat("n1").unwrap();
    assert!(world.is_ready("n1"));
}

//= ORCH-3431 type=test
#[test]
fn an_unsound_registration_and_a_new_life_do_not_end_a_quarantine() {
    let mut world = quarantined();
    let mut unsound = node("n1", "n1", None);
    unsound.pools = vec!["NO".into()];
    world.pass(s(59));
    assert_eq!(field(world.register(unsound)), "pools[0]");
    world.register(node("n1", "n1", Some(1))).unwrap();
    assert_eq!(world.say("n1", numbered(1, 1)), Err(Refusal::Quarantined { wait: s(1) }));
    world.pass(s(1));
    world.say("n1", numbered(1, 2)).unwrap();
    assert!(world.is_ready("n1"));
}

//= ORCH-3431 type=test
#[test]
fn a_new_life_does_not_begin_to_count_anew() {
    let mut world = World::of(&["n1"]);
    for _ in 0..2 {
        world.say("n1", impossible()).unwrap_err();
    }
    world.register(node("n1", "n1", Some(1))).unwrap();
    world.say("n1", impossible()).unwrap_err();
    assert_eq!(world.status("n1"), NodeStatus::Failed);
}

//= ORCH-3431 type=test
#[test]
fn a_node_that_stays_in_quarantine_expires() {
    let mut world = quarantined();
    world.pass(s(599));
    assert_eq!(world.status("n1"), NodeStatus::Failed);
    let changes = world.pass(s(1));
    assert!(changes.iter().any(|it| matches!(it, Change::NodeRemoved { why: Removal::Expired, .. })));
}

// N06
//= ORCH-3431 type=test
#[test]
fn a_message_that_cannot_be_read_counts_only_from_who_speaks_for_the_node() {
    let mut world = World::of(&["n1"]);
    for _ in 0..9 {
        world.registry.unreadable(world.now, "n1", contact("x9"));
        world.registry.unreadable(world.now, "nobody", contact("x9"));
        world.say_from("n1", impossible(), contact("x9")).unwrap_err();
    }
    assert_eq!(world.sweep(), []);
    for _ in 0..3 {
        world.registry.unreadable(world.now, "n1", contact("n1"));
    }
    let changes = world.sweep();
    assert!(matches!(&changes[0], Change::NodeQuarantined { fault: None, .. }), "{changes:?}");
}
