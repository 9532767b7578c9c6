//! The control plane: pools, what is done to them, and what the server can do now.

use api_types::{API_VERSION, CapabilitiesView, ErrorCode, PoolHealth, PoolList, VersionView};
use axum::{Json, extract::State, http::StatusCode};
use catalog_core::ModelRef;
use orchestrator_core::PoolId;
use pool_registry_types::{DrainPool, Fault, PoolAnswer, PurgePool, ReloadPool};

use super::{body::WireJson, path::Name, to_wire};
use crate::{
    error::ApiError,
    services::{Fleet, SchedulerHandle},
};

/// `GET /v2/pools`: every pool.
pub(crate) async fn pool_list(
    State(scheduler): State<SchedulerHandle>,
    State(fleet): State<Fleet>,
) -> Result<Json<PoolList>, ApiError> {
    let summaries = scheduler.pools().await?;
    Ok(Json(PoolList { pools: summaries.iter().map(|it| to_wire::pool(it, &fleet)).collect() }))
}

/// `GET /v2/pools/{id}/health`: one pool.
pub(crate) async fn pool_health(
    State(scheduler): State<SchedulerHandle>,
    State(fleet): State<Fleet>,
    Name(id): Name,
) -> Result<Json<PoolHealth>, ApiError> {
    let summaries = scheduler.pools().await?;
    let summary = summaries.iter().find(|summary| summary.pool.as_str() == id);
    let summary = summary.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "no pool has this id"))?;
    Ok(Json(to_wire::pool_health(summary, &fleet)))
}

/// `POST /v2/pools/{id}/drain`: 202; nothing new starts there from this answer on.
pub(crate) async fn pool_drain(
    State(fleet): State<Fleet>,
    Name(id): Name,
    WireJson(wire): WireJson<DrainPool>,
) -> Result<(StatusCode, Json<PoolAnswer>), ApiError> {
    wire.check().map_err(unsound)?;
    let answer = fleet.lifecycle.drain(PoolId::new(id), &wire).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `POST /v2/pools/{id}/reload`: 202, or 409 when the model that there was serves on.
pub(crate) async fn pool_reload(
    State(fleet): State<Fleet>,
    Name(id): Name,
    WireJson(wire): WireJson<ReloadPool>,
) -> Result<(StatusCode, Json<PoolAnswer>), ApiError> {
    wire.check().map_err(unsound)?;
    let malformed = |error| ApiError::invalid("new_model_ref", format!("{error}"));
    wire.new_model_ref.parse::<ModelRef>().map_err(malformed)?;
    let answer = fleet.lifecycle.reload(PoolId::new(id), wire).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `POST /v2/pools/{id}/purge`: 202.
pub(crate) async fn pool_purge(
    State(fleet): State<Fleet>,
    Name(id): Name,
    WireJson(wire): WireJson<PurgePool>,
) -> Result<(StatusCode, Json<PoolAnswer>), ApiError> {
    wire.check().map_err(unsound)?;
    let answer = fleet.lifecycle.purge(PoolId::new(id), wire).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `POST /v2/pools/{id}/resume`: 204; the pool takes work again.
pub(crate) async fn pool_resume(State(fleet): State<Fleet>, Name(id): Name) -> Result<StatusCode, ApiError> {
    fleet.lifecycle.resume(PoolId::new(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unsound(fault: Fault) -> ApiError {
    ApiError::invalid(&fault.field, fault.what)
}

/// `GET /v2/meta/capabilities`: what the engines that are ready can do.
pub(crate) async fn capabilities_view(
    State(scheduler): State<SchedulerHandle>,
    State(fleet): State<Fleet>,
) -> Result<Json<CapabilitiesView>, ApiError> {
    Ok(Json(to_wire::capabilities(&scheduler.pools().await?, &fleet.pools)))
}

/// `GET /v2/meta/version`: which API, and which server.
pub(crate) async fn version_view() -> Json<VersionView> {
    Json(VersionView {
        api_version: API_VERSION.to_owned(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
