//! Nodes, and which models they have.

use std::collections::BTreeMap;

use pool_registry_types::{NodeCapabilities, PoolReport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v2/nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    /// Every node that is known, by name.
    pub nodes: Vec<NodeView>,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It has said that it is there, and has not told of its pools yet.
    Registering,
    /// It is heard of.
    Online,
    /// All of its pools only finish what they have.
    Draining,
    /// It has been silent for too long.
    Offline,
    /// What it says cannot be true.
    Failed,
}

/// One node.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its name.
    pub node_id: String,
    /// The machine's own name.
    pub machine_id: String,
    /// Where its agent listens.
    pub address: String,
    /// How it stands.
    pub status: NodeState,
    /// How long ago it was last heard of.
    pub last_heard_ms: u64,
    /// Whether many nodes went silent together with it, so that the network is suspected and not the node.
    pub suspect: bool,
    /// Whether it must stay for a while before it gets work again, after it fell silent several times.
    pub damped: bool,
    /// Its agent's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the machine has.
    pub capabilities: NodeCapabilities,
    /// Its pools, as it last told of them.
    pub pools: Vec<PoolReport>,
}

/// `GET /v2/catalog/availability`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvailabilityView {
    /// The nodes, by name.
    pub nodes: BTreeMap<String, AvailableNode>,
    /// The models that any of them has, by name.
    pub models: Vec<AvailableModel>,
    /// How many models that are.
    pub total_models: usize,
    /// Those that more than one node has.
    pub replicated_models: Vec<String>,
    /// Those that one node alone has.
    pub single_node_models: Vec<String>,
}

/// A node, and what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvailableNode {
    /// Its name.
    pub node_id: String,
    /// Where its agent listens.
    pub address: String,
    /// Whether it is heard of.
    pub online: bool,
    /// The models that it has loaded, or could load.
    pub models: Vec<String>,
    /// Its pools.
    pub pools: Vec<String>,
}

/// A model, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvailableModel {
    /// Its name.
    pub model_id: String,
    /// The nodes that have it.
    pub nodes: Vec<String>,
    /// How many those are.
    pub total_nodes: usize,
    /// Streams that those of them serve at once which have it loaded and are heard of.
    pub total_capacity: u64,
}
