//! Messages that come late, twice, in another order, or from another life.

use service_registry::{Change, NodeStatus, Refusal};

use crate::world::{World, beat, node, numbered, pool, s};

fn world() -> World {
    let mut world = World::default();
    world.register(node("n1", "m", Some(7))).unwrap();
    world.say("n1", numbered(7, 5)).unwrap();
    world
}

// N02
//= ORCH-3427 type=test
#[test]
fn an_older_heartbeat_is_ignored_and_counted() {
    let mut world = world();
    for (incarnation, seq) in [(7, 5), (7, 4), (7, 0), (6, 900)] {
        assert_eq!(world.say("n1", numbered(incarnation, seq)), Err(Refusal::Stale), "{incarnation} {seq}");
    }
    assert_eq!(world.say("n1", beat(vec![pool("p")])), Err(Refusal::Stale));
    assert_eq!(world.node("n1").stale_count(), 5);
    assert_eq!(world.registry.stale_count(), 5);
    assert_eq!(world.say("n1", numbered(7, 6)), Ok(vec![]));
}

// N02
//= ORCH-3427 type=test
#[test]
fn a_replay_never_revives_a_node_nor_keeps_it_alive() {
    let mut world = world();
    world.pass(s(25));
    assert_eq!(world.say("n1", numbered(7, 5)), Err(Refusal::Stale));
    world.register(node("n1", "m", Some(7))).unwrap();
    world.pass(s(5));
    assert_eq!(world.status("n1"), NodeStatus::Offline);
    assert_eq!(world.say("n1", numbered(7, 5)), Err(Refusal::Stale));
    assert_eq!(world.say("n1", beat(vec![pool("p")])), Err(Refusal::Stale));
    assert_eq!(world.register(node("n1", "m", Some(6))), Err(Refusal::Stale));
    // A registration of this life may be a replay, too.
    world.register(node("n1", "m", Some(7))).unwrap();
    assert_eq!(world.say("n1", numbered(7, 5)), Err(Refusal::Stale));
    assert_eq!(world.status("n1"), NodeStatus::Offline);
    world.say("n1", numbered(7, 6)).unwrap();
    assert_eq!(world.status("n1"), NodeStatus::Online);
}

// N02
//= ORCH-3427 type=test
#[test]
fn a_later_life_must_register_first() {
    let mut world = world();
    assert_eq!(world.say("n1", numbered(8, 1)), Err(Refusal::Unknown));
    world.register(node("n1", "m", Some(8))).unwrap();
    let changes = world.say("n1", numbered(8, 1)).unwrap();
    assert!(changes.iter().any(|change| matches!(change, Change::NodeOnline { .. })), "{changes:?}");
    assert_eq!(world.say("n1", numbered(7, 900)), Err(Refusal::Stale));
}

//= ORCH-3427 type=test
#[test]
fn an_agent_that_numbers_nothing_may_restart_unnoticed() {
    let mut world = World::of(&["n1"]);
    world.register(node("n1", "n1", None)).unwrap();
    assert_eq!(world.beat("n1"), Ok(vec![]));
}

//= ORCH-3427 type=test
#[test]
fn a_refused_heartbeat_is_not_refused_for_what_it_says_a_second_time() {
    let mut world = world();
    let mut bad = numbered(7, 6);
    bad.pools[0].slots_free = 1_000_000_000;
    assert!(matches!(world.say("n1", bad.clone()), Err(Refusal::Malformed(_))));
    assert_eq!(world.say("n1", bad), Err(Refusal::Stale));
}

#[test]
fn nobody_is_heard_who_did_not_register() {
    let mut world = World::default();
    assert_eq!(world.beat("n1"), Err(Refusal::Unknown));
    assert_eq!(world.leave("n1"), Err(Refusal::Unknown));
    world.join("n1");
    world.leave("n1").unwrap();
    assert_eq!(world.beat("n1"), Err(Refusal::Unknown));
}
