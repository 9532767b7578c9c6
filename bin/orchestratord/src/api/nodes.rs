//! The machines: they register, say that they are well, and leave; and which models they have.

use std::net::SocketAddr;

use api_types::{AvailabilityView, ErrorCode, NodeList};
use auth_min::Identity;
use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, State},
    http::{StatusCode, request::Parts},
};
use http_server::PeerCertificate;
use pool_registry_types::{Heartbeat, HeartbeatAnswer, NodeRegistered, RegisterNode};

use super::{
    body::{JsonBytes, WireJson, decode},
    path::Name,
    to_wire,
};
use crate::{
    error::ApiError,
    services::{Fleet, Speaker},
};

/// Who calls on the plane of nodes.
pub(crate) struct Caller {
    speaker: Speaker,
    certificate: Option<PeerCertificate>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.ip());
        let identity = parts.extensions.get::<Identity>().copied();
        // The gate has left both with every request that it lets in.
        let (Some(peer), Some(identity)) = (peer, identity) else {
            return Err(ApiError::new(ErrorCode::Internal, "the request came in past the gate"));
        };
        let certificate = parts.extensions.get::<PeerCertificate>().cloned();
        Ok(Self { speaker: Speaker { peer, identity }, certificate })
    }
}

impl Caller {
    /// Lets the caller speak for a node, unless its certificate names another one.
    //= AUTH-1012
    fn speaks_for(self, node_id: &str) -> Result<Speaker, ApiError> {
        match self.certificate {
            Some(certificate) if !certificate.names_node(node_id) => {
                let message = "the certificate of this connection does not name this node";
                Err(ApiError::new(ErrorCode::Forbidden, message))
            }
            _ => Ok(self.speaker),
        }
    }
}

/// `POST /v2/nodes/register`: 200, also for a node that is known.
pub(crate) async fn node_register(
    State(fleet): State<Fleet>,
    caller: Caller,
    WireJson(wire): WireJson<RegisterNode>,
) -> Result<Json<NodeRegistered>, ApiError> {
    let speaker = caller.speaks_for(&wire.node_id)?;
    Ok(Json(fleet.nodes.register(wire, speaker).await?))
}

/// `POST /v2/nodes/{id}/heartbeat`: 200, or 404 when the node must register again.
pub(crate) async fn node_heartbeat(
    State(fleet): State<Fleet>,
    caller: Caller,
    Name(id): Name,
    JsonBytes(bytes): JsonBytes,
) -> Result<Json<HeartbeatAnswer>, ApiError> {
    let speaker = caller.speaks_for(&id)?;
    // What cannot be read counts against the node like what cannot be true.
    let wire: Heartbeat = decode(&bytes).inspect_err(|_| fleet.nodes.unreadable(&id, speaker))?;
    Ok(Json(fleet.nodes.heartbeat(&id, wire, speaker)?))
}

/// `DELETE /v2/nodes/{id}`: 204.
pub(crate) async fn node_leave(
    State(fleet): State<Fleet>,
    caller: Caller,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    let speaker = caller.speaks_for(&id)?;
    fleet.nodes.deregister(&id, speaker).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v2/nodes`: every node.
pub(crate) async fn node_list(State(fleet): State<Fleet>) -> Json<NodeList> {
    Json(NodeList { nodes: fleet.nodes.list(to_wire::node) })
}

/// `GET /v2/catalog/availability`: which models are where.
pub(crate) async fn availability(State(fleet): State<Fleet>) -> Json<AvailabilityView> {
    Json(to_wire::availability(fleet.nodes.availability()))
}
