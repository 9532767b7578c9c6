//! `GET /v2/tasks/{id}`: what became of a task.

use std::sync::Arc;

use api_types::TaskView;
use axum::{Json, extract::State};

use super::{
    super::{path::Name, to_wire},
    find,
};
use crate::{
    clock::Clock,
    error::ApiError,
    services::{Jobs, Keeper, SchedulerHandle},
};

/// The task as it stands, with its text once it has ended.
pub(crate) async fn task_view(
    State(jobs): State<Arc<Jobs>>,
    State(scheduler): State<SchedulerHandle>,
    State(keeper): State<Arc<Keeper>>,
    State(clock): State<Clock>,
    Name(id): Name,
) -> Result<Json<TaskView>, ApiError> {
    let entry = find(&jobs, &id)?;
    let position = scheduler.position(entry.facts.id).await?;
    let log = keeper.log_of(&entry).await?;
    Ok(Json(to_wire::task(&entry, &log, position, clock)))
}
