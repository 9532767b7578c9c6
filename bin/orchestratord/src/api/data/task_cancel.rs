//! `POST /v2/tasks/{id}/cancel`: a task is taken back.

use std::sync::Arc;

use api_types::ErrorCode;
use axum::{extract::State, http::StatusCode};
use orchestrator_core::JobEnd;

use super::{super::path::Name, find};
use crate::{
    error::ApiError,
    metrics::CanceledBy,
    services::{Jobs, Keeper, SchedulerHandle},
};

/// 204 once no further token will reach any reader; 409 when the task had ended otherwise.
//= ORCH-3026
pub(crate) async fn task_cancel(
    State(jobs): State<Arc<Jobs>>,
    State(scheduler): State<SchedulerHandle>,
    State(keeper): State<Arc<Keeper>>,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    let entry = find(&jobs, &id)?;
    scheduler.cancel(Arc::clone(&entry), CanceledBy::Client).await?;
    if !keeper.is_over(&entry).await {
        return Err(ApiError::storage());
    }
    match entry.status().ended {
        Some((_, JobEnd::Canceled)) => Ok(StatusCode::NO_CONTENT),
        Some(_) => Err(ApiError::new(ErrorCode::JobEnded, "the task had ended before it could be canceled")),
        None => Err(ApiError::new(ErrorCode::Internal, "the task could not be canceled")),
    }
}
