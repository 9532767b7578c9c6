//! `GET /v1/models`: what can be asked for now.

use api_types::{ErrorCode, OpenAiModel, OpenAiModels};
use axum::{Json, extract::State};
use orchestrator_core::{PoolSummary, Readiness, ReplicaView};

use super::super::path::Name;
use crate::{clock::Clock, error::ApiError, services::SchedulerHandle};

/// One row for each model of a ready engine, by the first of its names that is no path.
pub(super) async fn model_list(
    State(scheduler): State<SchedulerHandle>,
    State(clock): State<Clock>,
) -> Result<Json<OpenAiModels>, ApiError> {
    let pools = scheduler.pools().await?;
    let mut models: Vec<OpenAiModel> = Vec::new();
    for view in ready(&pools) {
        if let Some(name) = view.models.iter().find(|name| !name.starts_with('/')).or(view.models.first())
            && !models.iter().any(|known| known.id == **name)
        {
            models.push(model(name, view, clock));
        }
    }
    Ok(Json(OpenAiModels { object: "list".to_owned(), data: models }))
}

/// One model, by any of its names.
pub(super) async fn model_view(
    State(scheduler): State<SchedulerHandle>,
    State(clock): State<Clock>,
    Name(id): Name,
) -> Result<Json<OpenAiModel>, ApiError> {
    let pools = scheduler.pools().await?;
    let found = ready(&pools).find(|view| view.models.iter().any(|name| **name == *id));
    let found = found.map(|view| Json(model(&id, view, clock)));
    found.ok_or_else(|| ApiError::about("model", ErrorCode::ModelNotAvailable, "no pool serves this model"))
}

fn ready(pools: &[PoolSummary]) -> impl Iterator<Item = &ReplicaView> {
    let views = pools.iter().flat_map(|pool| &pool.replicas).map(|replica| &replica.view);
    views.filter(|view| view.readiness == Readiness::Ready)
}

fn model(name: &str, view: &ReplicaView, clock: Clock) -> OpenAiModel {
    OpenAiModel {
        id: name.to_owned(),
        object: "model".to_owned(),
        created: clock.started_unix(),
        owned_by: view.pool.to_string(),
        max_model_len: view.ctx_max,
    }
}
