//! Which model is where.

use pool_registry_types::PoolReport;
use service_registry::{Availability, ModelPlaces, NodePlaces};

use crate::world::{World, beat, node, pool, s};

fn serving(id: &str, model: &str, slots: u32) -> PoolReport {
    PoolReport { model_id: Some(model.into()), slots_total: Some(slots), ..pool(id) }
}

//= ORCH-3433 type=test
#[test]
fn models_are_counted_over_nodes_that_are_online() {
    let mut world = World::of(&["n1", "n2", "n3"]);
    let could = PoolReport { models_available: vec!["c".into(), "a".into()], ..serving("q", "b", 2) };
    world.say("n1", beat(vec![serving("p", "a", 4), could])).unwrap();
    world.say("n2", beat(vec![serving("p", "a", 3)])).unwrap();
    let loading = PoolReport { ready: false, ..serving("p", "b", 8) };
    world.say("n3", beat(vec![loading.clone()])).unwrap();
    let mut waiting = node("n4", "n4", None);
    waiting.pools = vec!["p".into()];
    world.register(waiting).unwrap();

    let node = |id: &str, online, models: &[&str], pools: &[&str]| NodePlaces {
        node_id: id.into(),
        address: format!("10.0.0.{}:9200", &id[1..]),
        online,
        models: models.iter().map(ToString::to_string).collect(),
        pools: pools.iter().map(ToString::to_string).collect(),
    };
    let model = |id: &str, nodes: &[&str], total_capacity| ModelPlaces {
        model_id: id.into(),
        nodes: nodes.iter().map(|id| (*id).into()).collect(),
        total_nodes: nodes.len(),
        total_capacity,
    };
    let all = Availability {
        nodes: vec![
            node("n1", true, &["a", "b", "c"], &["p", "q"]),
            node("n2", true, &["a"], &["p"]),
            node("n3", true, &["b"], &["p"]),
            node("n4", false, &[], &["p"]),
        ],
        models: vec![model("a", &["n1", "n2"], 7), model("b", &["n1", "n3"], 2), model("c", &["n1"], 0)],
        total_models: 3,
        replicated_models: vec!["a".into(), "b".into()],
        single_node_models: vec!["c".into()],
    };
    assert_eq!(world.registry.availability(), all);

    world.pass(s(20));
    world.say("n3", beat(vec![loading])).unwrap();
    world.say("n2", beat(vec![serving("p", "a", 3)])).unwrap();
    world.pass(s(10));
    let now = world.registry.availability();
    assert_eq!(now.models, [model("a", &["n2"], 3), model("b", &["n3"], 0)]);
    assert_eq!(now.nodes[0], node("n1", false, &["a", "b", "c"], &["p", "q"]));
    assert_eq!((now.total_models, now.replicated_models.len()), (2, 0));
}

#[test]
fn without_nodes_there_is_nothing() {
    assert_eq!(World::default().registry.availability(), Availability::default());
}
