//! Reading a JSON body: bounded in size and time, and every complaint names its field.

use api_types::{ErrorCode, misfit};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use config_schema::Limits;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{error::ApiError, state::AppState};

/// No field of ours has a longer path.
const NAME_BYTES_MAX: usize = 128;
const PROBLEM_CHARS_MAX: usize = 256;

/// A JSON body, decoded. Unknown fields are ignored; anything else that does not fit is a 400.
pub(crate) struct WireJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for WireJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        decode(&bytes).map(WireJson)
    }
}

/// A body that says that it is JSON, as it came.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl FromRequest<AppState> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let limits = &state.gate.limits;
        json_bytes(request, limits, limits.body_bytes_max).await.map(Self)
    }
}

/// The body of a request that says that it is JSON, with `bytes_max` in place of the usual bound.
pub(super) async fn json_bytes(
    request: Request,
    limits: &Limits,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let (head, body) = request.into_parts();
    check_media(&head.headers)?;
    check_length(&head.headers, bytes_max)?;
    let bytes = timeout(limits.body_timeout, collect(body, bytes_max)).await;
    bytes.map_err(|_late| ApiError::new(ErrorCode::RequestTimeout, "the body did not arrive in time"))?
}

// H21
fn check_media(headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refused("Content-Encoding: send the body as it is");
    }
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.and_then(|value| value.split(';').next()).map(str::trim).unwrap_or_default();
    if media.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        refused("Content-Type: must be application/json")
    }
}

/// Turns a body away by its announced length, before a byte of it is read.
// H17
fn check_length(headers: &HeaderMap, bytes_max: usize) -> Result<(), ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match announced.and_then(|value| value.parse::<u64>().ok()) {
        Some(announced) if announced > bytes_max as u64 => Err(too_large(bytes_max)),
        _ => Ok(()),
    }
}

async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Err(_) => Err(ApiError::new(ErrorCode::InvalidParams, "the body broke off")),
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(ErrorCode::PayloadTooLarge, format!("the body is larger than {bytes_max} bytes"))
}

pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    // To know the path to each value costs as much as reading it, and is needed only where one does not fit.
    serde_json::from_slice(bytes).or_else(|_misfit| decode_with_paths(bytes))
}

/// As [`decode`], and an error names its field.
fn decode_with_paths<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = shown(&misfit(&error.into_inner()));
        if is_name(&path) {
            ApiError::invalid(&path, problem)
        } else {
            ApiError::new(
                ErrorCode::InvalidParams,
                format!("the body is not a JSON object that fits: {problem}"),
            )
        }
    })?;
    json.end().map_err(|error| {
        ApiError::new(ErrorCode::InvalidParams, format!("the body goes on after its end: {error}"))
    })?;
    Ok(value)
}

/// Whether an answer may say that this is the name of a field: a client may have made it up, and as long as it likes.
pub(super) fn is_name(path: &str) -> bool {
    let fits = |c: char| !c.is_control() && !c.is_whitespace();
    path != "." && (1..=NAME_BYTES_MAX).contains(&path.len()) && path.chars().all(fits)
}

/// What is wrong, on one line and not much longer than a line: it may quote what the client sent.
fn shown(problem: &str) -> String {
    let line = problem.chars().map(|c| if c.is_control() { ' ' } else { c });
    match problem.char_indices().nth(PROBLEM_CHARS_MAX) {
        None => line.collect(),
        Some(_) => line.take(PROBLEM_CHARS_MAX).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use api_types::CreateTask;
    use serde_json::Value;

    use super::*;

    fn refusal(body: &str) -> (Option<String>, String) {
        let error = decode::<CreateTask>(body.as_bytes()).unwrap_err();
        (error.field().map(|(field, _)| field.to_owned()), error.body().message.clone())
    }

    // H19
    #[test]
    fn a_name_that_is_none_is_not_repeated() {
        assert_eq!(refusal(r#"{"prompt":1}"#).0.as_deref(), Some("prompt"));
        let long = "x".repeat(200_000);
        for name in ["", " ", "a\\n: b", "\\u001b[31m", long.as_str()] {
            let (field, message) = refusal(&format!(r#"{{"{name}":{{"a" 1}}}}"#));
            assert_eq!(field, None, "{message:?}");
            assert!(message.starts_with("the body is not a JSON object that fits: "), "{message:?}");
        }
    }

    #[test]
    fn what_a_refusal_quotes_is_cut_and_stays_on_one_line() {
        let quoted = Value::from(format!("a\n{}", "é".repeat(100_000)));
        for body in [format!(r#"{{"priority":{quoted}}}"#), format!(r#"{{"max_tokens":{quoted}}}"#)] {
            let (field, message) = refusal(&body);
            assert!(field.is_some() && message.len() < 1_024, "{message:?}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
}
