//! Reading a JSON body: bounded in size and time, and every complaint names its field.

use std::time::Duration;

use api_types::{ErrorCode, misfit};
use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::ApiState;
use crate::error::ApiError;

/// No request to the agent has more to say.
const BODY_BYTES_MAX: usize = 256 * 1024;
const BODY_TIME: Duration = Duration::from_secs(10);

/// A JSON body, decoded. An empty one is an empty object; unknown fields are ignored.
pub(super) struct WireJson<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<ApiState> for WireJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let invalid = |what: String| ApiError::new(ErrorCode::InvalidParams, what);
        let media = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.and_then(|value| value.split(';').next()).map(str::trim);
        let is_json = media.is_none_or(|media| media.eq_ignore_ascii_case("application/json"));
        if !is_json || head.headers.contains_key(header::CONTENT_ENCODING) {
            let what = "Content-Type: must be application/json, not encoded";
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType, what));
        }
        let read = timeout(BODY_TIME, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let read = read
            .map_err(|_late| ApiError::new(ErrorCode::RequestTimeout, "the body did not arrive in time"))?;
        let bytes = read.map_err(|_error| {
            ApiError::new(
                ErrorCode::PayloadTooLarge,
                format!("the body broke off, or is larger than {BODY_BYTES_MAX} bytes"),
            )
        })?;
        let bytes = bytes.to_bytes();
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let mut json = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            invalid(format!("{path}: {}", misfit(&error.into_inner())))
        })?;
        json.end().map_err(|error| invalid(format!("the body goes on after its end: {error}")))?;
        Ok(Self(value))
    }
}
