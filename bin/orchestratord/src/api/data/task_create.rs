//! `POST /v2/tasks`: a task comes in.

use api_types::{Admission as WireAdmission, CreateTask};
use auth_min::Identity;
use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
};
use http_server::CorrelationId;

use super::super::{
    body::WireJson,
    from_wire::{self, Asked},
    to_wire,
    trace::traceparent,
};
use crate::{
    error::ApiError,
    services::{Admission, Admitted},
};

type Answer = (StatusCode, [(HeaderName, String); 1], HeaderMap, Json<WireAdmission>);

/// 202 for a task that came in, 200 for one that came before.
pub(crate) async fn task_create(
    State(admission): State<Admission>,
    Extension(correlation): Extension<CorrelationId>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    WireJson(wire): WireJson<CreateTask>,
) -> Result<Answer, ApiError> {
    let key = headers.get("idempotency-key");
    let asked = Asked {
        correlation_id: correlation.shared(),
        identity,
        traceparent: traceparent(&headers),
        idempotency_key: key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned()),
    };
    let task = from_wire::new_task(&wire, asked, &admission.models)?;
    let (status, id, granted) = match admission.admit(task).await? {
        Admitted::Fresh(id, granted) => (StatusCode::ACCEPTED, id, granted),
        Admitted::Repeated(id, granted) => (StatusCode::OK, id, granted),
    };
    let location = [(header::LOCATION, format!("/v2/tasks/{id}"))];
    let budget = granted.budget.as_ref().map(to_wire::budget_headers).unwrap_or_default();
    Ok((status, location, budget, Json(to_wire::admission(id, &granted))))
}
