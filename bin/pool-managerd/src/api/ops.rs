//! What operators and scrapers ask.

use api_types::ErrorCode;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::ApiState;
use crate::error::ApiError;

#[derive(Debug, Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// `GET /health`: the process answers.
pub(super) async fn health() -> Response {
    Json(Status { status: "ok", reasons: Vec::new() }).into_response()
}

/// `GET /ready`: 200 when every pool is ready, else 503 and which are not.
pub(super) async fn ready(State(state): State<ApiState>) -> Response {
    let unready = state.pools.reports().into_iter().filter(|pool| !pool.ready);
    let reasons: Vec<String> = unready.map(|pool| format!("pool {} is not ready", pool.pool_id)).collect();
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unready")
    };
    (code, Json(Status { status, reasons })).into_response()
}

/// `GET /metrics`: all metrics as `OpenMetrics` text.
pub(super) async fn metrics(State(state): State<ApiState>) -> Response {
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media)], state.metrics.text()).into_response()
}

/// Any other path.
pub(super) async fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is nothing at this path")
}

/// A known path, asked in another way.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, "this path is not asked for with this method")
}
