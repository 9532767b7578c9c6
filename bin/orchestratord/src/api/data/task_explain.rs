//! `GET /v2/tasks/{id}/explain`: why a task is where it is.

use std::sync::Arc;

use api_types::ExplainView;
use axum::{Json, extract::State};

use super::{
    super::{path::Name, to_wire},
    find,
};
use crate::{
    clock::Clock,
    error::ApiError,
    services::{Jobs, SchedulerHandle},
};

/// The newest choice of an engine, or why there is none; and the start as predicted and as it came.
pub(crate) async fn task_explain(
    State(jobs): State<Arc<Jobs>>,
    State(scheduler): State<SchedulerHandle>,
    State(clock): State<Clock>,
    Name(id): Name,
) -> Result<Json<ExplainView>, ApiError> {
    let entry = find(&jobs, &id)?;
    let position = scheduler.position(entry.facts.id).await?;
    let why = scheduler.explain(entry.facts.id).await?;
    Ok(Json(to_wire::explain(&entry, &position.zip(why), clock)))
}
