//! Which model is where.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::node::Node;

/// Which model is where, in the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Availability {
    /// All nodes.
    pub nodes: Vec<NodePlaces>,
    /// The models that nodes which are online have.
    pub models: Vec<ModelPlaces>,
    /// How many these are.
    pub total_models: usize,
    /// Those that more than one node has.
    pub replicated_models: Vec<String>,
    /// Those that one node has.
    pub single_node_models: Vec<String>,
}

/// What one node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlaces {
    /// The node.
    pub node_id: Arc<str>,
    /// Its address.
    pub address: String,
    /// Whether it is heard.
    pub online: bool,
    /// The models that it has loaded or could load.
    pub models: Vec<String>,
    /// Its pools.
    pub pools: Vec<String>,
}

/// Where one model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPlaces {
    /// The model.
    pub model_id: String,
    /// The nodes that are online and have it, loaded or to be loaded.
    pub nodes: Vec<Arc<str>>,
    /// How many these are.
    pub total_nodes: usize,
    /// Streams that engines which take work serve of it at once.
    pub total_capacity: u64,
}

/// What is known of one model while it is collected.
#[derive(Default)]
struct Places {
    nodes: Vec<Arc<str>>,
    capacity: u64,
}

impl Availability {
    pub(crate) fn of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        let mut all = Self::default();
        let mut places = BTreeMap::<&str, Places>::new();
        for node in nodes {
            let models = models_of(node);
            if node.is_online() {
                collect(&mut places, node, &models);
            }
            let models = models.into_iter().map(str::to_owned).collect();
            let mut pools: Vec<_> = node.pools().map(str::to_owned).collect();
            pools.sort_unstable();
            pools.dedup();
            let (node_id, address) = (Arc::clone(&node.id), node.address.clone());
            all.nodes.push(NodePlaces { node_id, address, online: node.is_online(), models, pools });
        }
        for (model, places) in places {
            let names =
                if places.nodes.len() > 1 { &mut all.replicated_models } else { &mut all.single_node_models };
            names.push(model.to_owned());
            all.models.push(ModelPlaces {
                model_id: model.to_owned(),
                total_nodes: places.nodes.len(),
                nodes: places.nodes,
                total_capacity: places.capacity,
            });
        }
        all.total_models = all.models.len();
        all
    }
}

fn models_of(node: &Node) -> BTreeSet<&str> {
    let reports = node.replicas.iter().map(|replica| &replica.report);
    reports
        .flat_map(|report| report.model_id.iter().chain(&report.models_available))
        .map(String::as_str)
        .collect()
}

fn collect<'a>(places: &mut BTreeMap<&'a str, Places>, node: &'a Node, models: &BTreeSet<&'a str>) {
    for model in models {
        places.entry(model).or_default().nodes.push(Arc::clone(&node.id));
    }
    for replica in node.replicas.iter().filter(|replica| replica.is_ready()) {
        if let Some(model) = &replica.report.model_id {
            places.entry(model).or_default().capacity += u64::from(replica.report.slots());
        }
    }
}
