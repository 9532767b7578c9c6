//! `POST /v1/chat/completions`, `/v1/completions` and `/v1/embeddings`: a call is made a task and answered.

use std::sync::Arc;

use adapter_api::Route;
use axum::{
    extract::{FromRef, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use orchestrator_core::Admission as Granted;

use super::{
    super::{body::JsonBytes, to_wire},
    answer,
    caller::Caller,
    request::{self, Answering, Rules},
};
use crate::{
    error::ApiError,
    services::{Admission, Admitted, JobEntry, Readers},
    state::{AppState, GateRules},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a call needs.
pub(super) struct Desk {
    admission: Arc<Admission>,
    readers: Readers,
    gate: Arc<GateRules>,
}

impl FromRef<AppState> for Desk {
    fn from_ref(state: &AppState) -> Self {
        Self {
            admission: Arc::clone(&state.admission),
            readers: state.readers.clone(),
            gate: Arc::clone(&state.gate),
        }
    }
}

pub(super) async fn chat_completions(
    State(desk): State<Desk>,
    caller: Caller,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    serve(desk, Route::ChatCompletions, caller, &body).await
}

pub(super) async fn completions(
    State(desk): State<Desk>,
    caller: Caller,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    serve(desk, Route::Completions, caller, &body).await
}

pub(super) async fn embeddings(
    State(desk): State<Desk>,
    caller: Caller,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    serve(desk, Route::Embeddings, caller, &body).await
}

//= ORCH-3200
async fn serve(desk: Desk, route: Route, caller: Caller, body: &[u8]) -> Result<Response, ApiError> {
    let rules = Rules { extras: desk.gate.extra_fields, models: &desk.admission.models };
    let (task, answering) = request::read(route, body, caller, rules)?;
    let entry = Arc::clone(&task.entry);
    // The reader is there before the job is, so that a client that leaves meanwhile takes it along.
    let reader = desk.readers.enter(&entry);
    let granted = match desk.admission.admit(task).await {
        Ok(Admitted::Fresh(_, granted) | Admitted::Repeated(_, granted)) => granted,
        Err(refused) => {
            reader.refused();
            return Err(refused.into());
        }
    };
    let answer = match answering {
        Answering::Stream => answer::streamed(&entry, reader).await,
        Answering::Whole => {
            let answer = answer::whole(&entry, route).await;
            drop(reader);
            answer
        }
    };
    let mut response = answer.into_response();
    response.headers_mut().extend(headers(&entry, &granted));
    Ok(response)
}

/// The task behind the call, and what its session has left.
fn headers(entry: &JobEntry, granted: &Granted) -> HeaderMap {
    let mut headers = granted.budget.as_ref().map(to_wire::budget_headers).unwrap_or_default();
    if let Ok(id) = HeaderValue::from_str(&entry.facts.id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers
}
