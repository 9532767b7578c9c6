//! `GET /v2/tasks/{id}/events`: a task's stream, from any point of it, as often as one likes.

use std::sync::Arc;

use api_types::ErrorCode;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    super::path::{Name, WireQuery},
    find,
};
use crate::{
    error::ApiError,
    relay::{EventBody, Resume, ResumeError},
    services::Jobs,
};

/// The query of a reader.
#[derive(Debug, Deserialize)]
pub(crate) struct EventsQuery {
    /// The id of the last event that the reader has; `Last-Event-ID` for clients without headers.
    after: Option<String>,
}

/// The stream as server-sent events.
pub(crate) async fn task_events(
    State(jobs): State<Arc<Jobs>>,
    Name(id): Name,
    WireQuery(query): WireQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let entry = find(&jobs, &id)?;
    let cursor = entry.log.open(resume(&headers, query.after.as_deref())?).map_err(refusal)?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(EventBody::new(Arc::clone(&entry.log), cursor))).into_response())
}

/// Where the reader wants to go on: the header that browsers send wins.
// H05, H06
fn resume(headers: &HeaderMap, after: Option<&str>) -> Result<Resume, ApiError> {
    let (field, given) = match headers.get("last-event-id") {
        Some(value) => ("Last-Event-ID", value.to_str().unwrap_or("?")),
        None => match after {
            Some(after) => ("after", after),
            None => return Ok(Resume::FromStart),
        },
    };
    let digits = (1..=10).contains(&given.len()) && given.bytes().all(|byte| byte.is_ascii_digit());
    let id = given.parse().ok().filter(|_| digits);
    id.map(Resume::After).ok_or_else(|| ApiError::invalid(field, "must be the id of an event of this task"))
}

fn refusal(error: ResumeError) -> ApiError {
    match error {
        ResumeError::Future { last: None } => {
            ApiError::invalid("Last-Event-ID", "this task has sent no event yet")
        }
        ResumeError::Future { last: Some(last) } => {
            ApiError::invalid("Last-Event-ID", format!("the newest event of this task is {last}"))
        }
        ResumeError::Expired => ApiError::new(ErrorCode::StreamExpired, "the stream is past its retention")
            .hint("GET /v2/tasks/{id} still tells how the task ended"),
    }
}
