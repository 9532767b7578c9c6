//! `OpenAI`'s API: another door to the same desk.
//!
//! A call here is a task like any other: it waits in the same queues, goes to the same engines, belongs
//! to the same sessions. Only its dialect differs, so what a client sends is handed on as it stands, and
//! what an engine says comes back as it stands; only what must be known is read. Who asks is who reads:
//! a call ends when its client leaves.

mod answer;
mod asked;
mod caller;
mod completions;
mod members;
mod merge;
mod models;
mod request;
mod words;

pub(super) use merge::text_of;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};

use super::ops;
use crate::{gate, state::AppState};

/// Every path of this surface.
pub(super) fn routes(state: &AppState) -> Router<AppState> {
    Router::new()
        .route("/v1/chat/completions", post(completions::chat_completions))
        .route("/v1/completions", post(completions::completions))
        .route("/v1/embeddings", post(completions::embeddings))
        .route("/v1/models", get(models::model_list))
        .route("/v1/models/{*id}", get(models::model_view))
        .route_layer(from_fn_with_state(state.clone(), gate::bearer_auth))
        .method_not_allowed_fallback(ops::method_not_allowed)
        .layer(from_fn(words::say_errors_in_openai_words))
}
