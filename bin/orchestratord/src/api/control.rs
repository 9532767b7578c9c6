//! The control plane: pools, and what the server can do now.

use std::sync::Arc;

use api_types::{API_VERSION, CapabilitiesView, ErrorCode, PoolHealth, PoolList, VersionView};
use axum::{Json, extract::State};

use super::{path::Name, to_wire};
use crate::{
    error::ApiError,
    services::{Pools, SchedulerHandle},
};

/// `GET /v2/pools`: every pool.
pub(crate) async fn pool_list(
    State(scheduler): State<SchedulerHandle>,
    State(pools): State<Arc<Pools>>,
) -> Result<Json<PoolList>, ApiError> {
    let summaries = scheduler.pools().await?;
    Ok(Json(PoolList { pools: summaries.iter().map(|it| to_wire::pool(it, &pools)).collect() }))
}

/// `GET /v2/pools/{id}/health`: one pool.
pub(crate) async fn pool_health(
    State(scheduler): State<SchedulerHandle>,
    State(pools): State<Arc<Pools>>,
    Name(id): Name,
) -> Result<Json<PoolHealth>, ApiError> {
    let summaries = scheduler.pools().await?;
    let summary = summaries.iter().find(|summary| summary.pool.as_str() == id);
    let summary = summary.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "no pool has this id"))?;
    Ok(Json(to_wire::pool_health(summary, &pools)))
}

/// `GET /v2/meta/capabilities`: what the engines that are ready can do.
pub(crate) async fn capabilities_view(
    State(scheduler): State<SchedulerHandle>,
    State(pools): State<Arc<Pools>>,
) -> Result<Json<CapabilitiesView>, ApiError> {
    Ok(Json(to_wire::capabilities(&scheduler.pools().await?, &pools)))
}

/// `GET /v2/meta/version`: which API, and which server.
pub(crate) async fn version_view() -> Json<VersionView> {
    Json(VersionView {
        api_version: API_VERSION.to_owned(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
