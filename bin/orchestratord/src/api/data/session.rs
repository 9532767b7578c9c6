//! `GET` and `DELETE /v2/sessions/{id}`: a session as it stands, and its end.

use api_types::{ErrorCode, SessionView};
use axum::{Json, extract::State, http::StatusCode};
use orchestrator_core::SessionId;
use uuid::Uuid;

use super::super::{path::Name, to_wire};
use crate::{error::ApiError, services::SchedulerHandle};

/// 404 for one that never was, was given up, or whose time is over.
pub(crate) async fn session_view(
    State(scheduler): State<SchedulerHandle>,
    Name(id): Name,
) -> Result<Json<SessionView>, ApiError> {
    let missing = || ApiError::new(ErrorCode::NotFound, "no session has this id");
    let id = Uuid::try_parse(&id).map_err(|_no_id| missing())?;
    let view = scheduler.session(SessionId::from_u128(id.as_u128())).await?.ok_or_else(missing)?;
    Ok(Json(to_wire::session(id.to_string(), &view)))
}

/// 204, also for one that is not there. Its running tasks go on.
pub(crate) async fn session_end(
    State(scheduler): State<SchedulerHandle>,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    if let Ok(id) = Uuid::try_parse(&id) {
        scheduler.end_session(SessionId::from_u128(id.as_u128())).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
