//! From a job to the answer of its call.

use std::sync::Arc;

use adapter_api::Route;
use api_types::ErrorCode;
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};

use super::merge;
use crate::{
    error::ApiError,
    relay::{Cursor, Detail, EventBody, Resume, first_bytes},
    services::{JobEntry, ReaderGuard, no_answer},
};

//= ORCH-3205
/// The events as they come. A call that fails before it says anything has the status of its failure.
pub(super) async fn streamed(entry: &JobEntry, reader: ReaderGuard) -> Result<Response, ApiError> {
    let mut cursor = from_start(entry)?;
    let first = first_bytes(&entry.log, &mut cursor).await;
    if entry.log.tokens() == 0 {
        failed(entry)?;
    }
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = EventBody::new(Arc::clone(&entry.log), cursor, reader).starting_with(first);
    Ok((headers, Body::new(body)).into_response())
}

/// The answer as a whole. Whoever waits for it holds the reader.
pub(super) async fn whole(entry: &JobEntry, route: Route) -> Result<Response, ApiError> {
    let frames = entry.log.whole(from_start(entry)?).await;
    failed(entry)?;
    let nothing = || ApiError::new(ErrorCode::Internal, "the engine gave no answer");
    let body = match route {
        // It is one document, and stays as the engine wrote it.
        Route::Embeddings => only_document(&frames).ok_or_else(nothing)?.to_vec(),
        Route::ChatCompletions | Route::Completions => {
            merge::whole(&frames).ok_or_else(nothing)?.to_string().into_bytes()
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn from_start(entry: &JobEntry) -> Result<Cursor, ApiError> {
    let gone = |_expired| ApiError::new(ErrorCode::StreamExpired, "the answer is past its retention");
    entry.log.open(Resume::FromStart, Detail::Plain).map_err(gone)
}

/// An error when the call has ended without an answer.
fn failed(entry: &JobEntry) -> Result<(), ApiError> {
    let failure = entry.look(|status| status.ended.and_then(|(_, end)| no_answer(status, end)));
    failure.map_or(Ok(()), |body| Err(ApiError::of_body(body)))
}

fn only_document(frames: &[u8]) -> Option<&[u8]> {
    frames.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"data: ".as_slice()))
}
