//! Nodes that the control plane asks itself.

use pool_registry_types::PoolReport;
use service_registry::{Change, Contact, NodeStatus, Polled, Refusal, Removal};

use crate::world::{Answer, World, contact, node, numbered, pool, s};

/// The contact of who was asked at the node's own address.
fn asked(id: &str) -> Contact {
    Contact { credential: 1_000, ..contact(id) }
}

fn poll_at(world: &mut World, id: &str, address: &str, pools: Vec<PoolReport>) -> Answer {
    let from = Contact { peer: address.rsplit_once(':').unwrap().0.parse().unwrap(), ..asked(id) };
    let answer = world.registry.polled(world.now, Polled { node_id: id, address, pools }, from);
    world.took(answer)
}

fn poll(world: &mut World, id: &str) -> Answer {
    poll_at(world, id, &format!("{}:9200", contact(id).peer), vec![pool("p")])
}

//= ORCH-3425 type=test
#[test]
fn who_answers_is_registered_and_its_answers_are_heartbeats() {
    let mut world = World::default();
    let changes = poll(&mut world, "n1").unwrap();
    assert!(
        matches!(
            changes[..],
            [Change::NodeRegistered { .. }, Change::NodeOnline { .. }, Change::ReplicaReported { .. }]
        ),
        "{changes:?}"
    );
    assert!(world.is_ready("n1"));
    assert_eq!(world.node("n1").machine_id(), None);
    for _ in 0..5 {
        world.pass(s(20));
        assert_eq!(poll(&mut world, "n1"), Ok(vec![]));
    }
    world.pass(s(30));
    assert_eq!(world.status("n1"), NodeStatus::Offline);
    poll(&mut world, "n1").unwrap();
    assert!(world.is_ready("n1"));
}

// N04
//= ORCH-3429 type=test
#[test]
fn a_node_may_speak_for_itself_and_be_asked() {
    let mut world = World::default();
    poll(&mut world, "n1").unwrap();
    // Its first words do not cost it what it has.
    world.register(node("n1", "m", Some(7))).unwrap();
    assert!(world.is_ready("n1"));
    assert_eq!(world.say("n1", numbered(7, 1)), Ok(vec![]));
    assert_eq!(poll(&mut world, "n1"), Ok(vec![]));
    assert_eq!(world.node("n1").contact(), contact("n1"));
    assert_eq!(world.say("n1", numbered(7, 1)), Err(Refusal::Stale));
    assert_eq!(world.say("n1", numbered(7, 2)), Ok(vec![]));
}

// N04
//= ORCH-3429 type=test
#[test]
fn somebody_else_who_answers_to_the_name_is_not_the_node_until_that_is_offline() {
    let mut world = World::of(&["n1"]);
    let other = |world: &mut World| poll_at(world, "n1", "10.0.0.9:9200", vec![pool("p")]);
    assert_eq!(other(&mut world), Err(Refusal::OtherOwner));
    world.pass(s(30));
    let changes = other(&mut world).unwrap();
    assert!(changes.iter().any(|it| matches!(it, Change::NodeRemoved { why: Removal::Fenced, .. })));
    assert!(world.is_ready("n1"));
    assert_eq!(world.node("n1").address(), "10.0.0.9:9200");
    assert_eq!(world.beat("n1"), Err(Refusal::OtherOwner));
}

// N06
//= ORCH-3431 type=test
#[test]
fn impossible_answers_count_and_a_sound_one_after_the_minute_ends_the_quarantine() {
    let mut world = World::default();
    let impossible = || vec![PoolReport { slots_free: 1_000_000_000, ..pool("p") }];
    assert!(matches!(poll_at(&mut world, "n1", "10.0.0.1:9200", impossible()), Err(Refusal::Malformed(_))));
    assert_eq!(world.registry.nodes().count(), 0);
    poll(&mut world, "n1").unwrap();
    for _ in 0..3 {
        poll_at(&mut world, "n1", "10.0.0.1:9200", impossible()).unwrap_err();
    }
    assert_eq!(world.status("n1"), NodeStatus::Failed);
    assert_eq!(poll(&mut world, "n1"), Err(Refusal::Quarantined { wait: s(60) }));
    world.pass(s(60));
    poll(&mut world, "n1").unwrap();
    assert!(world.is_ready("n1"));
}

// N07
//= ORCH-3432 type=test
#[test]
fn an_answer_may_not_lead_elsewhere_either() {
    let mut world = World::default();
    let elsewhere = PoolReport { endpoint: Some("http://169.254.169.254".into()), ..pool("p") };
    let answer = poll_at(&mut world, "n1", "10.0.0.1:9200", vec![elsewhere]);
    assert!(matches!(answer, Err(Refusal::EndpointRefused(_))), "{answer:?}");
    assert_eq!(world.registry.nodes().count(), 0);
    let from = asked("n1");
    let polled = Polled { node_id: "n1", address: "10.0.0.2:9200", pools: vec![] };
    assert!(matches!(world.registry.polled(world.now, polled, from), Err(Refusal::EndpointRefused(_))));
}
