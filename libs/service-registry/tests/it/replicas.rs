//! One pool over several nodes, and what is told of its engines.

use pool_registry_types::PoolReport;
use service_registry::{Change, NodeStatus, Refusal};

use crate::world::{World, beat, pool, s};

fn reported(changes: &[Change]) -> Vec<(&str, bool)> {
    let mut reported = Vec::new();
    for change in changes {
        if let Change::ReplicaReported { replica, ready, .. } = change {
            reported.push((&*replica.replica, *ready));
        }
    }
    reported
}

fn gone(changes: &[Change]) -> Vec<&str> {
    let mut gone = Vec::new();
    for change in changes {
        if let Change::ReplicaGone { replica, .. } = change {
            gone.push(&*replica.replica);
        }
    }
    gone
}

fn named(id: &str, replica: &str) -> PoolReport {
    PoolReport { replica_id: Some(replica.into()), ..pool(id) }
}

//= ORCH-3433 type=test
#[test]
fn a_pool_of_two_nodes_is_one_pool_with_two_replicas() {
    let mut world = World::of(&["n2", "n1"]);
    let holders: Vec<_> = world.registry.holders("p").map(|node| &**node.id()).collect();
    assert_eq!(holders, ["n1", "n2"]);
    assert_eq!(world.registry.holders("q").count(), 0);
    let replicas: Vec<_> = world.book.ready().into_iter().collect();
    assert_eq!(replicas, ["n1/p", "n2/p"]);
    world.leave("n1").unwrap();
    assert_eq!(world.registry.holders("p").count(), 1);
}

//= ORCH-3433 type=test
#[test]
fn a_replica_may_be_named_but_not_like_that_of_another_node() {
    let mut world = World::of(&["n1", "n2"]);
    let changes = world.say("n1", beat(vec![named("p", "left")])).unwrap();
    assert_eq!((gone(&changes), reported(&changes)), (vec!["n1/p"], vec![("left", true)]));
    match world.say("n2", beat(vec![pool("q"), named("p", "left")])) {
        Err(Refusal::Malformed(fault)) => assert_eq!(fault.field, "pools[1].replica_id"),
        other => panic!("{other:?}"),
    }
    // The same name in another pool is another replica.
    world.say("n2", beat(vec![named("q", "left")])).unwrap();
    // A name that is given up is free.
    world.beat("n1").unwrap();
    world.say("n2", beat(vec![named("p", "left")])).unwrap();
    let holders: Vec<_> = world.registry.holders("p").map(|node| &**node.id()).collect();
    assert_eq!(holders, ["n2", "n1"]);
}

//= ORCH-3433 type=test
#[test]
fn the_names_of_a_node_that_left_are_free() {
    let mut world = World::of(&["n1", "n2"]);
    world.say("n1", beat(vec![named("p", "left")])).unwrap();
    world.leave("n1").unwrap();
    world.say("n2", beat(vec![named("p", "left")])).unwrap();
    assert_eq!(world.registry.holders("p").count(), 1);
}

//= ORCH-3433 type=test
#[test]
fn a_claimed_name_is_no_impossible_number() {
    let mut world = World::of(&["n1", "n2"]);
    for _ in 0..9 {
        world.say("n2", beat(vec![named("p", "n1/p")])).unwrap_err();
    }
    assert_eq!(world.status("n2"), NodeStatus::Online);
}

#[test]
fn what_changed_is_told_once() {
    let mut world = World::of(&["n1"]);
    let busy = PoolReport { slots_free: 1, slots_total: Some(2), ..pool("p") };
    let changes = world.say("n1", beat(vec![busy.clone(), pool("q")])).unwrap();
    assert_eq!(reported(&changes), [("n1/p", true), ("n1/q", true)]);
    assert_eq!(world.say("n1", beat(vec![busy.clone(), pool("q")])), Ok(vec![]));
    assert_eq!(world.say("n1", beat(vec![pool("q"), busy.clone()])), Ok(vec![]));
    let not_ready = PoolReport { ready: false, ..pool("q") };
    let changes = world.say("n1", beat(vec![busy.clone(), not_ready])).unwrap();
    assert_eq!(reported(&changes), [("n1/q", false)]);
    let changes = world.say("n1", beat(vec![busy])).unwrap();
    assert_eq!((gone(&changes), reported(&changes)), (vec!["n1/q"], vec![]));
}

#[test]
fn a_node_drains_when_all_its_pools_do() {
    let mut world = World::of(&["n1"]);
    let draining = |id| PoolReport { draining: true, ..pool(id) };
    let changes = world.say("n1", beat(vec![draining("p"), pool("q")])).unwrap();
    assert_eq!(reported(&changes), [("n1/p", false), ("n1/q", true)]);
    assert_eq!(world.status("n1"), NodeStatus::Online);
    world.say("n1", beat(vec![draining("p"), draining("q")])).unwrap();
    assert_eq!(world.status("n1"), NodeStatus::Draining);
    assert!(world.node("n1").is_online());
    world.say("n1", beat(vec![])).unwrap();
    assert_eq!(world.status("n1"), NodeStatus::Online);
    world.say("n1", beat(vec![draining("p")])).unwrap();
    world.pass(s(30));
    assert_eq!(world.status("n1"), NodeStatus::Offline);
}

#[test]
fn an_engine_that_is_not_ready_is_not_told_again_when_its_node_falls_silent() {
    let mut world = World::of(&["n1"]);
    world.say("n1", beat(vec![PoolReport { ready: false, ..pool("p") }])).unwrap();
    let changes = world.pass(s(30));
    assert!(matches!(changes[..], [Change::NodeOffline { .. }]), "{changes:?}");
}
