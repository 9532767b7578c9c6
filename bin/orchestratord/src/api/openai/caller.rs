//! Who calls, and what the headers say about how.

use std::sync::Arc;

use api_types::ErrorCode;
use auth_min::Identity;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, request::Parts},
};
use http_server::CorrelationId;
use orchestrator_core::Priority;
use uuid::Uuid;

use super::super::trace::Incoming;
use crate::error::ApiError;

/// What is known of a call apart from its body.
#[derive(Debug)]
pub(in crate::api) struct Caller {
    pub(in crate::api) correlation_id: Arc<str>,
    pub(in crate::api) identity: Identity,
    pub(in crate::api) trace: Incoming,
    pub(in crate::api) priority: Priority,
    pub(in crate::api) session_id: Option<Uuid>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let named = parts.extensions.get().map(CorrelationId::shared).zip(parts.extensions.get().copied());
        let unnamed = || ApiError::new(ErrorCode::Internal, "the request came in past the gate");
        let (correlation_id, identity) = named.ok_or_else(unnamed)?;
        Ok(Self {
            correlation_id,
            identity,
            trace: Incoming::of(parts),
            priority: priority(&parts.headers)?,
            session_id: session(&parts.headers)?,
        })
    }
}

fn priority(headers: &HeaderMap) -> Result<Priority, ApiError> {
    match headers.get("x-priority").map(HeaderValue::as_bytes) {
        None | Some(b"interactive") => Ok(Priority::Interactive),
        Some(b"batch") => Ok(Priority::Batch),
        Some(_) => Err(ApiError::invalid("X-Priority", "must be `interactive` or `batch`")),
    }
}

fn session(headers: &HeaderMap) -> Result<Option<Uuid>, ApiError> {
    let given = headers.get("x-session-id").map(|value| Uuid::try_parse_ascii(value.as_bytes()));
    given.transpose().map_err(|_malformed| ApiError::invalid("X-Session-Id", "must be a UUID"))
}
