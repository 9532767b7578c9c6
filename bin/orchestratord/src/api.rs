//! The public HTTP API. Every path of the product is on this page, or on that of [`openai`].
//!
//! Who may ask for a path is said where it is declared, and nowhere else.
//! A handler extracts, translates, makes one call and translates back.

mod artifacts;
mod body;
mod catalog;
mod control;
mod data;
mod docs;
mod from_wire;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
#[cfg(test)]
mod matrix_tests;
mod nodes;
mod openai;
mod ops;
mod path;
mod routes;
mod to_wire;
mod trace;

use auth_min::Plane::{Control, Data, Node, Open};
use axum::Router;

pub use docs::{Document, openapi, openapi_of_all};
pub(crate) use from_wire::task_again;
pub use routes::RouteFacts;

use crate::{gate::Door, state::AppState};
use routes::Routes;

/// All routes, behind the gate.
pub(crate) fn router(state: AppState) -> Door {
    Door::new(state.clone(), routes(state))
}

fn routes(state: AppState) -> Router {
    native()
        .into_router(&state)
        .merge(openai::router(&state))
        .fallback(ops::not_found)
        .method_not_allowed_fallback(ops::method_not_allowed)
        .with_state(state)
}

/// The metrics alone, behind the same gate.
pub(crate) fn metrics_router(state: &AppState) -> Door {
    let routes = Routes::default()
        .get(Open, "/metrics", ops::metrics)
        .into_router(state)
        .fallback(ops::not_found)
        .method_not_allowed_fallback(ops::method_not_allowed)
        .with_state(state.clone());
    Door::new(state.clone(), routes)
}

/// Every route of the product, as facts.
pub fn route_table() -> Vec<RouteFacts> {
    native().facts().chain(openai::routes().facts()).collect()
}

//= ORCH-3044
fn native() -> Routes {
    Routes::default()
        .get(Open, "/health", ops::health)
        .get(Open, "/ready", ops::ready)
        .get(Open, "/metrics", ops::metrics)
        .get(Open, "/openapi.json", docs::openapi_json)
        .get(Open, "/docs", docs::reader)
        .get(Data, "/v2/tasks", data::task_list)
        .post(Data, "/v2/tasks", data::task_create)
        .get(Data, "/v2/tasks/{id}", data::task_view)
        .get(Data, "/v2/tasks/{id}/events", data::task_events)
        .post(Data, "/v2/tasks/{id}/cancel", data::task_cancel)
        .get(Data, "/v2/tasks/{id}/explain", data::task_explain)
        .get(Data, "/v2/sessions/{id}", data::session_view)
        .delete(Data, "/v2/sessions/{id}", data::session_end)
        .get(Data, "/v2/artifacts", artifacts::artifact_list)
        .post(Data, "/v2/artifacts", artifacts::artifact_create)
        .get(Data, "/v2/artifacts/{id}", artifacts::artifact_view)
        .get(Data, "/v2/meta/capabilities", control::capabilities_view)
        .get(Data, "/v2/meta/version", control::version_view)
        .get(Data, "/v2/pools", control::pool_list)
        .get(Data, "/v2/pools/{id}/health", control::pool_health)
        .post(Control, "/v2/pools/{id}/drain", control::pool_drain)
        .traced("pool_drain")
        .post(Control, "/v2/pools/{id}/reload", control::pool_reload)
        .traced("pool_reload")
        .post(Control, "/v2/pools/{id}/purge", control::pool_purge)
        .traced("pool_purge")
        .post(Control, "/v2/pools/{id}/resume", control::pool_resume)
        .traced("pool_resume")
        .get(Control, "/v2/nodes", nodes::node_list)
        .post(Node, "/v2/nodes/register", nodes::node_register)
        .traced("node_register")
        .post(Node, "/v2/nodes/{id}/heartbeat", nodes::node_heartbeat)
        .delete(Node, "/v2/nodes/{id}", nodes::node_leave)
        .get(Control, "/v2/catalog/availability", nodes::availability)
        .get(Data, "/v2/catalog/models", catalog::model_list)
        .post(Control, "/v2/catalog/models", catalog::model_register)
        .get(Data, "/v2/catalog/models/{*id}", catalog::model_view)
        .post(Control, "/v2/catalog/models/{*id}", catalog::model_ask)
        .delete(Control, "/v2/catalog/models/{*id}", catalog::model_remove)
}
