//! `OpenAI`'s API: another door to the same desk.
//!
//! A call here is a task like any other: it waits in the same queues, goes to the same engines, belongs
//! to the same sessions. Only its dialect differs, so what a client sends is handed on as it stands, and
//! what an engine says comes back as it stands; only what must be known is read. Who asks is who reads:
//! a call ends when its client leaves.

mod answer;
mod asked;
pub(super) mod caller;
mod completions;
mod members;
mod merge;
mod models;
mod names;
pub(super) mod request;
mod words;

pub(super) use merge::text_of;

use auth_min::Plane::Data;
use axum::Router;

use super::{ops, routes::Routes};
use crate::state::AppState;

/// Every path of this surface.
pub(super) fn routes() -> Routes {
    Routes::default()
        .post(Data, "/v1/chat/completions", completions::chat_completions)
        .post(Data, "/v1/completions", completions::completions)
        .post(Data, "/v1/embeddings", completions::embeddings)
        .get(Data, "/v1/models", models::model_list)
        .get(Data, "/v1/models/{*id}", models::model_view)
}

/// The surface, with its refusals in its own words.
pub(super) fn router(state: &AppState) -> Router<AppState> {
    routes()
        .into_router(state)
        .method_not_allowed_fallback(ops::method_not_allowed)
        .layer(words::InOpenAiWords)
}
