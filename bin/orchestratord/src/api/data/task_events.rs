//! `GET /v2/tasks/{id}/events`: a task's stream, from any point of it, as often as one likes.

use std::sync::Arc;

use api_types::{ErrorCode, ExpiredBody};
use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use orchestrator_core::Admission as Granted;
use serde::Deserialize;

use super::{
    super::{
        path::{Name, WireQuery},
        to_wire,
    },
    find,
};
use crate::{
    clock::Clock,
    error::ApiError,
    relay::{Detail, EventBody, Resume, ResumeError},
    services::{JobEntry, Jobs, Keeper, Readers, SchedulerHandle, Surface},
};

/// What a reader wants: where to start, and how much to be told.
pub(crate) struct Wanted {
    resume: Resume,
    detail: Detail,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let WireQuery(query) = WireQuery::<EventsQuery>::from_request_parts(parts, state).await?;
        let detail = if query.verbose { Detail::Verbose } else { Detail::Plain };
        Ok(Self { resume: resume(&parts.headers, query.after.as_deref())?, detail })
    }
}

/// The query of a reader.
#[derive(Debug, Deserialize)]
struct EventsQuery {
    /// The id of the last event that the reader has; `Last-Event-ID` for clients without headers.
    after: Option<String>,
    /// Whether explanations are wanted beside the numbers.
    #[serde(default)]
    verbose: bool,
}

/// The stream as server-sent events.
pub(crate) async fn task_events(
    State(jobs): State<Arc<Jobs>>,
    State(readers): State<Readers>,
    State(keeper): State<Arc<Keeper>>,
    Name(id): Name,
    wanted: Wanted,
) -> Result<Response, ApiError> {
    let entry = find(&jobs, &id)?;
    if entry.facts.surface == Surface::OpenAi {
        let message = "the events of this task went to the client that asked for it under /v1";
        return Err(ApiError::new(ErrorCode::NotFound, message).hint("GET /v2/tasks/{id} shows its result"));
    }
    let log = keeper.log_of(&entry).await?;
    let cursor = match log.open(wanted.resume, wanted.detail) {
        Ok(cursor) => cursor,
        Err(ResumeError::Expired) => return Ok(expired(&entry, keeper.clock())),
        Err(ResumeError::Future { last }) => return Err(future(last)),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let budget = budget(&entry, &readers.scheduler).await?;
    let body = EventBody::new(log, cursor, readers.enter(&entry));
    Ok((headers, budget, Body::new(body)).into_response())
}

/// What the session's budget has left now, for a job that has one.
async fn budget(entry: &JobEntry, scheduler: &SchedulerHandle) -> Result<HeaderMap, ApiError> {
    let budget = |admission: &Granted| admission.budget;
    let (admitted, remaining) =
        entry.look(|status| (status.admission.as_ref().and_then(budget), status.remaining));
    let Some(admitted) = admitted else { return Ok(HeaderMap::new()) };
    let left = match remaining {
        Some(at_end) => at_end,
        None => scheduler.session(entry.facts.session()).await?.map_or(admitted, |now| now.remaining),
    };
    Ok(to_wire::budget_headers(&left))
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

fn future(last: Option<u32>) -> ApiError {
    let problem = match last {
        None => "this task has sent no event yet".to_owned(),
        Some(last) => format!("the newest event of this task is {last}"),
    };
    ApiError::invalid("Last-Event-ID", problem)
}

/// The stream is gone; how its task ended is still told.
// H07
fn expired(entry: &JobEntry, clock: Clock) -> Response {
    let error = ApiError::new(ErrorCode::StreamExpired, "the stream is past its retention").into_body();
    let body = ExpiredBody { error, task: to_wire::task_summary(entry, clock) };
    (StatusCode::GONE, Json(body)).into_response()
}
