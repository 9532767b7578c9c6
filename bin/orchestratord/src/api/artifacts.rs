//! Artifacts: stored, read and listed.

use std::sync::Arc;

use api_types::{ArtifactCreated, ArtifactList, ArtifactView, CreateArtifact, ErrorCode};
use artifact_store::{ArtifactId, Filter, Flush, Kind, Labels, Meta};
use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use orchestrator_core::JobId;
use serde::Deserialize;

use super::{
    body,
    from_wire::checks,
    path::{Name, WireQuery},
};
use crate::{
    clock::Clock,
    error::ApiError,
    services::{Artifacts, Brought},
    state::AppState,
};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// What a body may have beside the content.
const BESIDE_BYTES: u64 = 16_384;

/// `POST /v2/artifacts`: 201, also for content that is there already.
pub(crate) async fn artifact_create(
    State(state): State<AppState>,
    State(artifacts): State<Arc<Artifacts>>,
    request: Request,
) -> Result<(StatusCode, Json<ArtifactCreated>), ApiError> {
    let _place = artifacts.place()?;
    // Base64 and escapes make content longer on its way.
    let most = artifacts.bytes_max().saturating_mul(2).saturating_add(BESIDE_BYTES);
    let bytes =
        body::json_bytes(request, &state.gate.limits, usize::try_from(most).unwrap_or(usize::MAX)).await?;
    let meta = artifacts.put(brought(body::decode(&bytes)?)?).await?;
    let created = ArtifactCreated {
        id: meta.id.to_string(),
        kind: meta.kind.to_string(),
        bytes: meta.bytes,
        created_at: created_at(&meta, state.clock),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

fn brought(wire: CreateArtifact) -> Result<Brought, ApiError> {
    let label = |problem: artifact_store::MalformedLabel| {
        ApiError::new(ErrorCode::InvalidParams, problem.to_string())
    };
    let content = match (wire.content, wire.content_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|problem| ApiError::invalid("content_base64", format!("is no base64: {problem}")))?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::invalid("content", "give either this or content_base64"));
        }
    };
    Ok(Brought {
        kind: kind(&wire.kind)?,
        content,
        labels: Labels {
            media_type: wire.media_type.map(TryInto::try_into).transpose().map_err(label)?,
            name: wire.name.map(TryInto::try_into).transpose().map_err(label)?,
            job: wire.job_id.as_deref().map(job).transpose()?,
        },
        flush: Flush::Now,
    })
}

fn kind(text: &str) -> Result<Kind, ApiError> {
    text.parse().map_err(|_unknown| {
        ApiError::invalid("kind", "must be plan, summary, diff, trace, transcript, logs or other")
    })
}

fn job(text: &str) -> Result<JobId, ApiError> {
    checks::uuid("job_id", text).map(|id| JobId::from_u128(id.as_u128()))
}

/// The query of a list. Filters are joined by "and".
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    kind: Option<String>,
    job_id: Option<String>,
    limit: Option<usize>,
}

/// `GET /v2/artifacts`: the latest, without their content.
pub(crate) async fn artifact_list(
    State(artifacts): State<Arc<Artifacts>>,
    State(clock): State<Clock>,
    WireQuery(query): WireQuery<ListQuery>,
) -> Result<Json<ArtifactList>, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be from 1 to {LIMIT_MAX}")));
    }
    let kind = query.kind.as_deref().map(kind).transpose()?;
    let job = query.job_id.as_deref().map(job).transpose()?;
    let found = artifacts.list(Filter { kind, job }, limit)?;
    Ok(Json(ArtifactList { artifacts: found.into_iter().map(|meta| view(meta, clock)).collect() }))
}

/// `GET /v2/artifacts/{id}`: one, with its content.
pub(crate) async fn artifact_view(
    State(artifacts): State<Arc<Artifacts>>,
    State(clock): State<Clock>,
    Name(id): Name,
) -> Result<Json<ArtifactView>, ApiError> {
    let id: ArtifactId =
        id.parse().map_err(|_malformed| ApiError::new(ErrorCode::NotFound, "no artifact has this id"))?;
    let artifact = artifacts.get(id).await?;
    let (content, content_base64) = match String::from_utf8(artifact.content) {
        Ok(text) => (Some(text), None),
        Err(no_text) => (None, Some(STANDARD.encode(no_text.as_bytes()))),
    };
    Ok(Json(ArtifactView { content, content_base64, ..view(artifact.meta, clock) }))
}

fn view(meta: Meta, clock: Clock) -> ArtifactView {
    ArtifactView {
        id: meta.id.to_string(),
        kind: meta.kind.to_string(),
        created_at: created_at(&meta, clock),
        media_type: meta.media_type.map(String::from),
        name: meta.name.map(String::from),
        bytes: meta.bytes,
        jobs: meta.jobs.iter().map(ToString::to_string).collect(),
        content: None,
        content_base64: None,
    }
}

fn created_at(meta: &Meta, clock: Clock) -> String {
    clock.rfc3339(clock.at_unix_ms(meta.created.0))
}
