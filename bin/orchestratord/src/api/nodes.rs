//! The machines: they register, say that they are well, and leave; and which models they have.

use std::net::SocketAddr;

use api_types::{AvailabilityView, NodeList};
use auth_min::Identity;
use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use pool_registry_types::{Heartbeat, HeartbeatAnswer, NodeRegistered, RegisterNode};

use super::{body::WireJson, path::Name, to_wire};
use crate::{
    error::ApiError,
    services::{Fleet, Speaker},
};

/// `POST /v2/nodes/register`: 200, also for a node that is known.
pub(crate) async fn node_register(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(identity): Extension<Identity>,
    WireJson(wire): WireJson<RegisterNode>,
) -> Result<Json<NodeRegistered>, ApiError> {
    let speaker = Speaker { peer: peer.ip(), identity };
    Ok(Json(fleet.nodes.register(wire, speaker).await?))
}

/// `POST /v2/nodes/{id}/heartbeat`: 200, or 404 when the node must register again.
pub(crate) async fn node_heartbeat(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(identity): Extension<Identity>,
    Name(id): Name,
    WireJson(wire): WireJson<Heartbeat>,
) -> Result<Json<HeartbeatAnswer>, ApiError> {
    let speaker = Speaker { peer: peer.ip(), identity };
    Ok(Json(fleet.nodes.heartbeat(&id, wire, speaker)?))
}

/// `DELETE /v2/nodes/{id}`: 204.
pub(crate) async fn node_leave(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(identity): Extension<Identity>,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    let speaker = Speaker { peer: peer.ip(), identity };
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
