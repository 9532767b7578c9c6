//! What operators and load balancers ask: is it alive, is it ready, what are its numbers.

use std::sync::Arc;

use api_types::ErrorCode;
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use orchestrator_core::{PoolSummary, Readiness};
use serde::Serialize;
use utoipa::ToSchema;

use super::catalog;
use crate::{
    error::ApiError,
    metrics::{Metrics, Seen},
    services::{Fleet, Models, SchedulerHandle},
    state::{AppState, GateRules},
};

/// The body of `/health` and `/ready`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerStatus {
    /// `ok`, `ready` or `unready`.
    status: &'static str,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// `GET /health`: the process answers.
pub(crate) async fn health() -> Response {
    Json(ServerStatus { status: "ok", reasons: Vec::new() }).into_response()
}

/// `GET /ready`: 200 when work can be done, else 503 and why not.
pub(crate) async fn ready(
    State(scheduler): State<SchedulerHandle>,
    State(gate): State<Arc<GateRules>>,
) -> Result<Response, ApiError> {
    let mut reasons = not_ready(&scheduler.pools().await?);
    if gate.closing.is_cancelled() {
        reasons = vec!["the server is shutting down".to_owned()];
    }
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unready")
    };
    Ok((code, Json(ServerStatus { status, reasons })).into_response())
}

/// One ready pool is enough.
fn not_ready(pools: &[PoolSummary]) -> Vec<String> {
    let is_ready = |pool: &PoolSummary| pool.replicas.iter().any(|it| it.view.readiness == Readiness::Ready);
    if pools.is_empty() {
        return vec!["there is no pool".to_owned()];
    }
    if pools.iter().any(is_ready) {
        return Vec::new();
    }
    pools.iter().map(|pool| format!("pool {} is not ready", pool.pool)).collect()
}

/// `GET /metrics`: all metrics as `OpenMetrics` text.
pub(crate) async fn metrics(
    State(metrics): State<Arc<Metrics>>,
    State(fleet): State<Fleet>,
    State(models): State<Arc<Models>>,
) -> Response {
    let seen = Seen { replicas: fleet.pools.seen(), models: models.states() };
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media)], metrics.text(&seen)).into_response()
}

/// Any other path.
pub(crate) async fn not_found(State(_): State<AppState>) -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is nothing at this path")
}

/// A known path, asked in another way.
pub(crate) async fn method_not_allowed(State(_): State<AppState>, uri: Uri) -> Response {
    let problem = "this path is not asked for with this method";
    let mut answer = ApiError::new(ErrorCode::MethodNotAllowed, problem).into_response();
    // The router sets the header itself, but knows the paths of a model as one.
    if let Some(methods) = catalog::methods_of(uri.path()) {
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    answer
}
