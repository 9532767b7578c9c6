//! Machines: they register, say that they are well, and leave.

use api_types::{
    ErrorCode::{AdmissionReject, Forbidden, NodeConflict, StorageUnavailable},
    NodeList,
};
use axum::http::{Method, StatusCode};
use pool_registry_types::{Heartbeat, HeartbeatAnswer, NodeRegistered, RegisterNode};

use super::{
    operation::{Operation, operation},
    schemas::text,
};

const NODE: &str = "The node's name.";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/v2/nodes", "listNodes")
            .summary("List every node")
            .answers::<NodeList>(StatusCode::OK, "The nodes, and their pools as they last told of them."),
        operation(Method::POST, "/v2/nodes/register", "registerNode")
            .summary("Say that a node is there")
            .describe("It may be said again at any time. Where nodes show certificates, one speaks for itself alone.")
            .body::<RegisterNode>()
            .answers::<NodeRegistered>(StatusCode::OK, "The node is known.")
            .fails(&[Forbidden, NodeConflict, AdmissionReject, StorageUnavailable]),
        operation(Method::POST, "/v2/nodes/{id}/heartbeat", "sendHeartbeat")
            .summary("Say that a node is well, and how its pools are")
            .describe("A node that is not known is a 404, and registers again.")
            .name(NODE, text())
            .body::<Heartbeat>()
            .answers::<HeartbeatAnswer>(StatusCode::OK, "It was taken in.")
            .fails(&[Forbidden, NodeConflict]),
        operation(Method::DELETE, "/v2/nodes/{id}", "removeNode")
            .summary("Take a node out")
            .name(NODE, text())
            .nothing(StatusCode::NO_CONTENT, "It is gone; what ran there goes elsewhere or ends.")
            .fails(&[Forbidden, NodeConflict, AdmissionReject, StorageUnavailable]),
    ]
}
