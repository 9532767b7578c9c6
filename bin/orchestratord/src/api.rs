//! The public HTTP API. Every path of the product is on this page, or on that of [`openai`].
//!
//! Whether a path needs a credential is a property of the table in which it stands, never of a prefix.
//! A handler extracts, translates, makes one call and translates back.

mod artifacts;
mod body;
mod catalog;
mod control;
mod data;
mod from_wire;
mod openai;
mod ops;
mod path;
mod to_wire;
mod trace;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};

pub(crate) use from_wire::task_again;

use crate::{gate, state::AppState};

/// All routes, behind the gate.
pub(crate) fn router(state: AppState) -> Router {
    let open = Router::new()
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .route("/metrics", get(ops::metrics));
    let guarded = Router::new()
        .route("/v2/tasks", get(data::task_list).post(data::task_create))
        .route("/v2/tasks/{id}", get(data::task_view))
        .route("/v2/tasks/{id}/events", get(data::task_events))
        .route("/v2/tasks/{id}/cancel", post(data::task_cancel))
        .route("/v2/tasks/{id}/explain", get(data::task_explain))
        .route("/v2/sessions/{id}", get(data::session_view).delete(data::session_end))
        .route("/v2/catalog/models", get(catalog::model_list).post(catalog::model_register))
        .route(
            "/v2/catalog/models/{*id}",
            get(catalog::model_view).delete(catalog::model_remove).post(catalog::model_ask),
        )
        .route("/v2/artifacts", get(artifacts::artifact_list).post(artifacts::artifact_create))
        .route("/v2/artifacts/{id}", get(artifacts::artifact_view))
        .route("/v2/pools", get(control::pool_list))
        .route("/v2/pools/{id}/health", get(control::pool_health))
        .route("/v2/meta/capabilities", get(control::capabilities_view))
        .route("/v2/meta/version", get(control::version_view))
        .route_layer(from_fn_with_state(state.clone(), gate::bearer_auth));
    open.merge(guarded)
        .merge(openai::routes(&state))
        .fallback(ops::not_found)
        .method_not_allowed_fallback(ops::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), gate::door))
        .with_state(state)
}
