//! Every failure becomes an answer here, and only here.

use api_types::{ErrorBody, ErrorCode};
use auth_min::AuthError;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_server::BadHost;
use pool_registry_types::Fault;

use crate::pool::Refusal;

/// An answer that is an error: the public envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let body = ErrorBody {
            code,
            message: message.into(),
            retriable: matches!(code, ErrorCode::PoolBusy | ErrorCode::RequestTimeout),
            retry_after_ms: None,
            engine: None,
            pool_id: None,
            policy_label: None,
            hint: None,
        };
        Self { status: status(code), body: Box::new(body) }
    }

    /// No pool of this name, or it is ending.
    pub(crate) fn no_pool() -> Self {
        Self::new(ErrorCode::NotFound, "no pool of this node has this id")
    }
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::MissingToken | ErrorCode::BadToken => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        // What is asked for does not fit what is there now; the old model serves on.
        ErrorCode::PoolBusy
        | ErrorCode::UntrustedArtifact
        | ErrorCode::PoolUnavailable
        | ErrorCode::ModelNotAvailable => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::new(ErrorCode::InvalidParams, fault.to_string())
    }
}

impl From<BadHost> for ApiError {
    fn from(refused: BadHost) -> Self {
        Self::new(ErrorCode::BadHost, refused.to_string())
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Missing => ErrorCode::MissingToken,
            AuthError::Bad => ErrorCode::BadToken,
            AuthError::WrongPlane => ErrorCode::Forbidden,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let is_unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let mut response = (self.status, Json(self.body)).into_response();
        if is_unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
