//! The small questions that are asked of single fields.

use std::{ops::RangeInclusive, sync::Arc};

use catalog_core::{MalformedModelRef, ModelRef};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{error::ApiError, services::Models};

/// No model's context comes near to this.
const TOKENS_MAX: u32 = 16 * 1024 * 1024;

// H19
pub(in crate::api) fn integer(
    field: &str,
    given: Option<i64>,
    range: RangeInclusive<i64>,
) -> Result<Option<i64>, ApiError> {
    match given {
        Some(value) if !range.contains(&value) => {
            let (low, high) = (range.start(), range.end());
            Err(ApiError::invalid(field, format!("must be from {low} to {high}")))
        }
        other => Ok(other),
    }
}

pub(in crate::api) fn number(
    field: &str,
    given: Option<f64>,
    low: f64,
    high: f64,
) -> Result<Option<f64>, ApiError> {
    match given {
        Some(value) if !(low..=high).contains(&value) => {
            Err(ApiError::invalid(field, format!("must be from {low} to {high}")))
        }
        other => Ok(other),
    }
}

/// A small count of at least one.
pub(in crate::api) fn count(field: &str, given: Option<i64>, most: u32) -> Result<Option<u32>, ApiError> {
    Ok(integer(field, given, 1..=i64::from(most))?.and_then(|count| u32::try_from(count).ok()))
}

pub(in crate::api) fn tokens(field: &str, given: Option<i64>) -> Result<Option<u32>, ApiError> {
    count(field, given, TOKENS_MAX)
}

pub(in crate::api) fn uuid(field: &str, given: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(given).map_err(|_malformed| ApiError::invalid(field, "must be a UUID"))
}

/// The id of a job that is known by a key: the same for the same key, and no other client's guess.
pub(in crate::api) fn id_of_key(key: &str) -> Result<Uuid, ApiError> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(1..=255).contains(&key.len()) {
        return Err(ApiError::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    }
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// The name by which engines call the model that is meant.
pub(in crate::api) fn model(field: &str, given: &str, models: &Models) -> Result<Arc<str>, ApiError> {
    let refused = |problem: MalformedModelRef| ApiError::invalid(field, problem.to_string());
    given.parse::<ModelRef>().map(|model| models.name_of(&model)).map_err(refused)
}
