//! Nodes, and which models they have.

use std::time::Duration;

use api_types::{AvailabilityView, AvailableModel, AvailableNode, NodeState, NodeView};
use service_registry::{Availability, Node, NodeStatus};

use crate::services::{millis, registration};

pub(crate) fn node(node: &Node, now: Duration) -> NodeView {
    let registration = registration(node);
    NodeView {
        node_id: registration.node_id,
        machine_id: registration.machine_id,
        address: registration.address,
        status: match node.status() {
            NodeStatus::Registering => NodeState::Registering,
            NodeStatus::Online => NodeState::Online,
            NodeStatus::Draining => NodeState::Draining,
            NodeStatus::Offline => NodeState::Offline,
            NodeStatus::Failed => NodeState::Failed,
        },
        last_heard_ms: millis(now.saturating_sub(node.heard_at())),
        suspect: node.is_suspect(),
        damped: node.is_damped(),
        version: registration.version,
        capabilities: registration.capabilities,
        pools: node.replicas().iter().map(|replica| (**replica.report()).clone()).collect(),
    }
}

pub(crate) fn availability(it: Availability) -> AvailabilityView {
    let nodes = it.nodes.into_iter().map(|node| {
        let view = AvailableNode {
            node_id: node.node_id.to_string(),
            address: node.address,
            online: node.online,
            models: node.models,
            pools: node.pools,
        };
        (node.node_id.to_string(), view)
    });
    let models = it.models.into_iter().map(|model| AvailableModel {
        model_id: model.model_id,
        nodes: model.nodes.iter().map(ToString::to_string).collect(),
        total_nodes: model.total_nodes,
        total_capacity: model.total_capacity,
    });
    AvailabilityView {
        nodes: nodes.collect(),
        models: models.collect(),
        total_models: it.total_models,
        replicated_models: it.replicated_models,
        single_node_models: it.single_node_models,
    }
}
