//! The catalog: models are registered, looked at, verified, taken out of use and removed.

use std::sync::Arc;

use api_types::{ErrorCode, ModelPage, ModelView, RegisterModel, SetModelState, VerifyView};
use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use catalog_core::ModelId;
use serde::Deserialize;

use super::{
    body::WireJson,
    from_wire, ops,
    path::{Name, WireQuery},
    to_wire,
};
use crate::{error::ApiError, services::Models, state::AppState};

const LIMIT_DEFAULT: usize = 50;

/// `POST /v2/catalog/models`: 201, also for what is registered already.
pub(crate) async fn model_register(
    State(models): State<Arc<Models>>,
    WireJson(wire): WireJson<RegisterModel>,
) -> Result<(StatusCode, Json<ModelView>), ApiError> {
    let shown = models.register(from_wire::declared(wire)?).await?;
    Ok((StatusCode::CREATED, Json(to_wire::model(&shown))))
}

/// The query of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<usize>,
    after: Option<String>,
}

/// `GET /v2/catalog/models`: a page, in the order of ids.
pub(crate) async fn model_list(
    State(models): State<Arc<Models>>,
    WireQuery(query): WireQuery<ListQuery>,
) -> Result<Json<ModelPage>, ApiError> {
    let (limit, most) = (query.limit.unwrap_or(LIMIT_DEFAULT), catalog_core::PAGE_MAX);
    if !(1..=most).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be from 1 to {most}")));
    }
    let after = query.after.as_deref().map(str::parse).transpose();
    let after =
        after.map_err(|_no_id| ApiError::invalid("after", "must be the next_after of another page"))?;
    let (page, next) = models.page(after.as_ref(), limit);
    let next_after = next.map(|id| id.to_string());
    Ok(Json(ModelPage { models: page.iter().map(to_wire::model).collect(), next_after }))
}

/// `GET /v2/catalog/models/{id}`.
pub(crate) async fn model_view(
    State(models): State<Arc<Models>>,
    Name(id): Name,
) -> Result<Json<ModelView>, ApiError> {
    Ok(Json(to_wire::model(&models.get(&read(&id)?)?)))
}

/// `DELETE /v2/catalog/models/{id}`: 204.
pub(crate) async fn model_remove(
    State(models): State<Arc<Models>>,
    Name(id): Name,
) -> Result<StatusCode, ApiError> {
    models.remove(&read(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v2/catalog/models/{id}/verify` and `/state`. An id may hold slashes, so it is told from what is
/// asked of it here.
pub(crate) async fn model_ask(
    State(state): State<AppState>,
    Name(path): Name,
    request: Request,
) -> Result<Response, ApiError> {
    match path.rsplit_once('/') {
        Some((id, "verify")) => {
            // A body says nothing here, but it is read so that the connection can go on.
            Bytes::from_request(request, &state).await.ok();
            Ok(verify(&state.admission.models, &read(id)?).await?.into_response())
        }
        Some((id, "state")) => {
            let WireJson(wire) = WireJson::from_request(request, &state).await?;
            Ok(set_state(&state.admission.models, &read(id)?, wire).await?.into_response())
        }
        _ => {
            let uri = request.uri().clone();
            Ok(ops::method_not_allowed(State(state), uri).await)
        }
    }
}

/// The methods by which a path of one model is asked, if it is one.
pub(super) fn methods_of(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix("/v2/catalog/models/")?;
    let is_asked = name.ends_with("/verify") || name.ends_with("/state");
    Some(if is_asked { "POST" } else { "GET,HEAD,DELETE" })
}

async fn verify(models: &Models, id: &ModelId) -> Result<(StatusCode, Json<VerifyView>), ApiError> {
    let shown = models.verify_now(id).await?;
    Ok((StatusCode::ACCEPTED, Json(to_wire::verification(&shown))))
}

async fn set_state(
    models: &Models,
    id: &ModelId,
    wire: SetModelState,
) -> Result<(StatusCode, Json<ModelView>), ApiError> {
    let shown = models.set_state(id, from_wire::model_state(wire)?).await?;
    Ok((StatusCode::ACCEPTED, Json(to_wire::model(&shown))))
}

/// The id in a path. What is none names nothing, and nothing is looked for.
//= ORCH-3412
fn read(id: &str) -> Result<ModelId, ApiError> {
    id.parse().map_err(|_malformed| ApiError::new(ErrorCode::NotFound, "no model has this id"))
}
