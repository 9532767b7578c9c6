//! What a client says of a model.

use api_types::{ModelSbom, ModelSignature, RegisterModel, SetModelState};
use catalog_core::{Declared, Digest, ModelState, Sbom, Signature};

use super::checks;
use crate::error::ApiError;

/// The end of the year 9999.
const DEADLINE_MS_MAX: i64 = 253_402_300_799_999;

/// A declaration of typed values. Its sizes are checked by the catalog.
//= ORCH-3412
pub(in crate::api) fn declared(wire: RegisterModel) -> Result<Declared, ApiError> {
    let id = wire.id.parse().map_err(|problem| refused("id", problem))?;
    let source = wire.model_ref.parse().map_err(|problem| refused("model_ref", problem))?;
    Ok(Declared {
        id,
        source,
        digest: digest("digest", wire.digest)?,
        signatures: wire.signatures.into_iter().map(signature).collect(),
        sbom: wire.sbom.map(sbom).transpose()?,
        ctx_max: checks::tokens("ctx_max", wire.ctx_max)?,
        labels: wire.labels,
    })
}

/// A state that a client asks for.
pub(in crate::api) fn model_state(wire: SetModelState) -> Result<ModelState, ApiError> {
    let deadline = checks::integer("deadline_ms", wire.deadline_ms, 0..=DEADLINE_MS_MAX)?;
    match (wire.state, deadline) {
        (api_types::ModelState::Active, None) => Ok(ModelState::Active),
        (api_types::ModelState::Active, Some(_)) => {
            Err(ApiError::invalid("deadline_ms", "is only for `Retired`"))
        }
        (api_types::ModelState::Retired, deadline) => {
            Ok(ModelState::Retired { deadline_ms: deadline.map(i64::unsigned_abs) })
        }
    }
}

fn refused(field: &str, problem: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(field, problem.to_string())
}

fn digest(field: &str, given: Option<String>) -> Result<Option<Digest>, ApiError> {
    given.map(|text| text.parse()).transpose().map_err(|problem| refused(field, problem))
}

fn signature(wire: ModelSignature) -> Signature {
    Signature { kind: wire.kind.into(), key_id: wire.key_id, value: wire.value }
}

fn sbom(wire: ModelSbom) -> Result<Sbom, ApiError> {
    Ok(Sbom { format: wire.format, digest: digest("sbom.digest", wire.digest)?, uri: wire.uri })
}
