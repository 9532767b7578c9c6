//! `GET /v2/tasks`: what the server knows, newest first, a page at a time.

use std::sync::Arc;

use api_types::{TaskPage, TaskState};
use axum::{Json, extract::State};
use orchestrator_core::PoolId;
use serde::Deserialize;
use uuid::Uuid;

use super::super::{path::WireQuery, to_wire};
use crate::{
    clock::Clock,
    error::ApiError,
    services::{JobEntry, Jobs},
};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// The query of a list. Filters are joined by "and".
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    state: Option<TaskState>,
    session_id: Option<String>,
    pool_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A page of tasks, without their texts.
pub(crate) async fn task_list(
    State(jobs): State<Arc<Jobs>>,
    State(clock): State<Clock>,
    WireQuery(query): WireQuery<ListQuery>,
) -> Result<Json<TaskPage>, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be from 1 to {LIMIT_MAX}")));
    }
    let bad_cursor = |_no_number| ApiError::invalid("cursor", "must be the next_cursor of another page");
    let before = query.cursor.as_deref().map(str::parse).transpose().map_err(bad_cursor)?;
    let session = query.session_id.as_deref().map(Uuid::try_parse).transpose();
    let session = session.map_err(|_malformed| ApiError::invalid("session_id", "must be a UUID"))?;
    let pool = query.pool_id.as_deref().map(PoolId::new);
    let page = jobs.page(before, limit, |entry| is_wanted(entry, query.state, session, pool.as_ref()));
    Ok(Json(TaskPage {
        tasks: page.jobs.iter().map(|entry| to_wire::task_summary(entry, clock)).collect(),
        next_cursor: page.next.map(|rank| rank.to_string()),
    }))
}

fn is_wanted(
    entry: &JobEntry,
    state: Option<TaskState>,
    session: Option<Uuid>,
    pool: Option<&PoolId>,
) -> bool {
    if session.is_some_and(|session| session != entry.facts.session_id) {
        return false;
    }
    if state.is_none() && pool.is_none() {
        return true;
    }
    let status = entry.shown_status();
    let placed = status.attempt.as_ref().map(|attempt| &attempt.assignment.pool);
    let at = placed.or(status.admission.as_ref().map(|admission| &admission.pool));
    state.is_none_or(|state| state == to_wire::state(&status)) && pool.is_none_or(|pool| at == Some(pool))
}
