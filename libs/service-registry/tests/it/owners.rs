//! One node's name, claimed by others.

use service_registry::{Change, Contact, NodeStatus, Refusal, Removal, Rules};

use crate::world::{World, beat, contact, node, numbered, pool, s};

fn fenced(changes: &[Change]) -> bool {
    let removed = |change: &Change| matches!(change, Change::NodeRemoved { why: Removal::Fenced, .. });
    let gone = |change: &Change| matches!(change, Change::ReplicaGone { .. });
    let at = changes.iter().position(removed);
    at.is_some_and(|at| changes[..at].iter().any(gone))
}

fn world() -> World {
    let mut world = World::default();
    world.register(node("n1", "m", Some(7))).unwrap();
    world.say("n1", numbered(7, 5)).unwrap();
    world
}

/// Another host, with another credential.
const STRANGER: &str = "x9";

// N04
//= ORCH-3429 type=test
#[test]
fn another_machine_does_not_get_a_name_that_is_in_use() {
    let mut world = world();
    let mut other = node(STRANGER, "other", None);
    other.node_id = "n1".into();
    for incarnation in [None, Some(6), Some(7), Some(8)] {
        other.incarnation = incarnation;
        let answer = world.register_from(other.clone(), contact(STRANGER));
        assert_eq!(answer, Err(Refusal::OtherOwner), "{incarnation:?}");
    }
    assert_eq!(world.say_from("n1", numbered(8, 1), contact(STRANGER)), Err(Refusal::OtherOwner));
    assert_eq!(world.say_from("n1", beat(vec![pool("p")]), contact(STRANGER)), Err(Refusal::OtherOwner));
    let answer = world.registry.deregister(world.now, "n1", contact(STRANGER));
    assert_eq!(world.took(answer), Err(Refusal::OtherOwner));
    assert_eq!(world.node("n1").machine_id(), Some("m"));
    assert!(world.is_ready("n1"));
}

// N04
//= ORCH-3429 type=test
#[test]
fn another_machine_takes_over_when_the_first_is_offline_and_the_first_stays_out() {
    let mut world = world();
    world.pass(s(30));
    // Even then it must register first.
    assert_eq!(world.say_from("n1", numbered(1, 1), contact(STRANGER)), Err(Refusal::Unknown));
    let mut other = node(STRANGER, "other", Some(1));
    other.node_id = "n1".into();
    assert!(fenced(&world.register_from(other, contact(STRANGER)).unwrap()));
    world.say_from("n1", numbered(1, 1), contact(STRANGER)).unwrap();
    assert_eq!(world.say("n1", numbered(7, 6)), Err(Refusal::OtherOwner));
    assert_eq!(world.register(node("n1", "m", Some(7))), Err(Refusal::OtherOwner));
    assert_eq!(world.node("n1").machine_id(), Some("other"));
}

// N04
//= ORCH-3429 type=test
#[test]
fn a_later_life_of_the_same_machine_or_credential_fences_the_first() {
    for (machine, from) in [("m", contact(STRANGER)), ("other", contact("n1"))] {
        let mut world = world();
        let mut later = node("n1", machine, Some(8));
        later.address = format!("{}:9200", from.peer);
        assert!(fenced(&world.register_from(later, from).unwrap()));
        assert_eq!(world.status("n1"), NodeStatus::Registering);
        assert!(!world.is_ready("n1"));
        assert!(world.say("n1", numbered(7, 6)).is_err());
        world.say_from("n1", numbered(8, 1), from).unwrap();
        assert!(world.is_ready("n1"));
    }
}

//= ORCH-3429 type=test
#[test]
fn another_machine_with_the_same_credential_needs_a_later_life() {
    let mut world = world();
    for incarnation in [None, Some(6), Some(7)] {
        let answer = world.register(node("n1", "other", incarnation));
        assert_eq!(answer, Err(Refusal::OtherOwner), "{incarnation:?}");
    }
}

//= ORCH-3429 type=test
#[test]
fn the_same_registration_again_changes_nothing_but_what_it_tells() {
    let mut world = world();
    let mut again = node("n1", "m", Some(7));
    again.version = Some("2".into());
    let changes = world.register(again).unwrap();
    assert!(matches!(changes[..], [Change::NodeRegistered { .. }]), "{changes:?}");
    assert_eq!(world.node("n1").version(), Some("2"));
    assert!(world.is_ready("n1"));
    assert_eq!(world.say("n1", numbered(7, 5)), Err(Refusal::Stale));
    assert_eq!(world.register(node("n1", "m", Some(6))), Err(Refusal::Stale));
    assert_eq!(world.register(node("n1", "m", None)), Err(Refusal::Stale));
}

//= ORCH-3429 type=test
#[test]
fn a_renewed_token_or_a_new_address_does_not_lose_the_node() {
    let mut world = world();
    let renewed = Contact { credential: 99, ..contact("n1") };
    assert_eq!(world.say_from("n1", numbered(7, 6), renewed), Ok(vec![]));
    assert_eq!(world.node("n1").contact(), renewed);
    let moved = Contact { peer: [10, 0, 0, 77].into(), ..renewed };
    assert_eq!(world.say_from("n1", numbered(7, 7), moved), Ok(vec![]));
    // Both at once, or without a number: only its registration shows that it is the same machine.
    assert_eq!(world.say_from("n1", numbered(7, 8), contact("n1")), Err(Refusal::Unknown));
    world.register(node("n1", "m", Some(7))).unwrap();
    assert_eq!(world.say("n1", numbered(7, 8)), Ok(vec![]));
}

//= ORCH-3429 type=test
#[test]
fn without_numbers_a_heartbeat_from_another_host_must_register_again() {
    let mut world = World::of(&["n1"]);
    let moved = Contact { peer: [10, 0, 0, 77].into(), ..contact("n1") };
    assert_eq!(world.say_from("n1", beat(vec![pool("p")]), moved), Err(Refusal::Unknown));
    let mapped = Contact { peer: "::ffff:10.0.0.1".parse().unwrap(), ..contact("n1") };
    assert_eq!(world.say_from("n1", beat(vec![pool("p")]), mapped), Ok(vec![]));
}

//= ORCH-3429 type=test
#[test]
fn a_node_that_leaves_takes_all_it_had_along() {
    let mut world = world();
    let changes = world.leave("n1").unwrap();
    assert!(matches!(
        changes[..],
        [Change::ReplicaGone { .. }, Change::NodeRemoved { why: Removal::Deregistered, .. }]
    ));
    assert_eq!(world.registry.nodes().count(), 0);
    assert_eq!(world.say("n1", numbered(7, 6)), Err(Refusal::Unknown));
}

#[test]
fn there_is_room_for_so_many_nodes_only() {
    let mut world = World::new(Rules { nodes_max: 2, ..Rules::default() });
    world.join("n1");
    world.join("n2");
    assert_eq!(world.register(node("n3", "n3", None)), Err(Refusal::Full));
    world.register(node("n2", "n2", None)).unwrap();
    world.leave("n1").unwrap();
    world.join("n3");
}

#[test]
fn a_credential_is_not_written_to_a_log() {
    let text = format!("{:?}", Contact { peer: [10, 0, 0, 1].into(), credential: 0x005e_c2e7 });
    assert_eq!(text, "Contact { peer: 10.0.0.1, .. }");
}
