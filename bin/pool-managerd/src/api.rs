//! The agent's own HTTP API. Every path is on this page.

mod body;
mod ops;
mod pools;

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};

use crate::{gate, metrics::Metrics, pool::Pools};

/// The handles that handlers use.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) node_id: Arc<str>,
    pub(crate) pools: Pools,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rules: Arc<gate::Rules>,
}

/// All routes, behind the gate.
pub(crate) fn router(state: ApiState) -> Router {
    let open = Router::new()
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .route("/metrics", get(ops::metrics));
    let guarded = Router::new()
        .route("/v2/pools", get(pools::pool_list))
        .route("/v2/pools/{id}/status", get(pools::pool_status))
        .route("/v2/pools/{id}/drain", post(pools::drain))
        .route("/v2/pools/{id}/reload", post(pools::reload))
        .route("/v2/pools/{id}/purge", post(pools::purge))
        .route("/v2/pools/{id}/resume", post(pools::resume))
        .route_layer(from_fn_with_state(state.clone(), gate::bearer_auth));
    open.merge(guarded)
        .fallback(ops::not_found)
        .method_not_allowed_fallback(ops::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), gate::door))
        .with_state(state)
}

/// `/metrics` alone, for a port of its own.
pub(crate) fn metrics_router(state: ApiState) -> Router {
    Router::new()
        .route("/metrics", get(ops::metrics))
        .fallback(ops::not_found)
        .layer(from_fn_with_state(state.clone(), gate::door))
        .with_state(state)
}
