//! `POST /v2/tasks`: a task comes in.

use std::sync::Arc;

use api_types::{Admission as WireAdmission, CreateTask, ErrorCode};
use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use http_server::CorrelationId;

use super::super::{
    body::WireJson,
    from_wire::{self, Asked},
    to_wire,
    trace::Incoming,
};
use crate::{
    error::ApiError,
    services::{Admission, Admitted},
};

type Answer = (StatusCode, [(HeaderName, String); 1], HeaderMap, Json<WireAdmission>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let named = parts.extensions.get().map(CorrelationId::shared).zip(parts.extensions.get().copied());
        let unnamed = || ApiError::new(ErrorCode::Internal, "the request came in past the gate");
        let (correlation_id, identity) = named.ok_or_else(unnamed)?;
        let key = parts.headers.get("idempotency-key");
        let idempotency_key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        Ok(Self { correlation_id, identity, trace: Incoming::of(parts), idempotency_key })
    }
}

/// 202 for a task that came in, 200 for one that came before.
pub(crate) async fn task_create(
    State(admission): State<Arc<Admission>>,
    asked: Asked,
    WireJson(wire): WireJson<CreateTask>,
) -> Result<Answer, ApiError> {
    let task = from_wire::new_task(&wire, asked, &admission.models)?;
    let (status, id, granted) = match admission.admit(task).await? {
        Admitted::Fresh(id, granted) => (StatusCode::ACCEPTED, id, granted),
        Admitted::Repeated(id, granted) => (StatusCode::OK, id, granted),
    };
    let location = [(header::LOCATION, format!("/v2/tasks/{id}"))];
    let budget = granted.budget.as_ref().map(to_wire::budget_headers).unwrap_or_default();
    Ok((status, location, budget, Json(to_wire::admission(id, &granted))))
}
