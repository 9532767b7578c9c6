//! Pools: how they are, and what is to be done to them.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use pool_registry_types::{DrainPool, PoolAnswer, PoolReports, PoolStatus, PurgePool, ReloadPool};
use trace_export::TraceContext;

use super::{ApiState, body::WireJson};
use crate::{error::ApiError, pool::Wish};

type Answer = Result<(StatusCode, Json<PoolAnswer>), ApiError>;

/// `GET /v2/pools`: all pools, as in a heartbeat.
pub(super) async fn pool_list(State(state): State<ApiState>) -> Json<PoolReports> {
    Json(PoolReports { node_id: Some(state.node_id.to_string()), pools: state.pools.reports() })
}

/// `GET /v2/pools/{id}/status`: one pool, and the last thing that was done to it.
pub(super) async fn pool_status(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<PoolStatus>, ApiError> {
    state.pools.find(&id).map(|pool| Json(pool.status())).ok_or_else(ApiError::no_pool)
}

/// `POST /v2/pools/{id}/drain`.
pub(super) async fn drain(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    WireJson(drain): WireJson<DrainPool>,
) -> Answer {
    drain.check()?;
    ask(&state, &id, Wish::Drain(drain), &headers).await
}

/// `POST /v2/pools/{id}/reload`.
pub(super) async fn reload(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    WireJson(reload): WireJson<ReloadPool>,
) -> Answer {
    reload.check()?;
    ask(&state, &id, Wish::Reload(reload), &headers).await
}

/// `POST /v2/pools/{id}/purge`.
pub(super) async fn purge(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    WireJson(purge): WireJson<PurgePool>,
) -> Answer {
    purge.check()?;
    ask(&state, &id, Wish::Purge(purge), &headers).await
}

/// `POST /v2/pools/{id}/resume`: take work again, or start again.
pub(super) async fn resume(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    ask(&state, &id, Wish::Resume, &headers).await
}

async fn ask(state: &ApiState, id: &str, wish: Wish, headers: &HeaderMap) -> Answer {
    let pool = state.pools.find(id).ok_or_else(ApiError::no_pool)?;
    let answer = pool.ask(wish, TraceContext::of_request(headers)).await.ok_or_else(ApiError::no_pool)??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
