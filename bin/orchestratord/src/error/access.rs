//! Requests that are not let in, as answers.

use api_types::ErrorCode;
use auth_min::AuthError;
use http_server::BadHost;

use super::ApiError;
use crate::{gate::Refusal, services::millis};

impl From<BadHost> for ApiError {
    fn from(refused: BadHost) -> Self {
        let error = Self::new(ErrorCode::BadHost, refused.to_string());
        if refused == BadHost::Foreign { error.hint("see limits.hosts") } else { error }
    }
}

impl From<Refusal> for ApiError {
    //= AUTH-1010
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Credential(AuthError::Missing) => {
                Self::new(ErrorCode::MissingToken, "the request carries no bearer token")
                    .hint("send the header `Authorization: Bearer <token>`")
            }
            Refusal::Credential(AuthError::Bad) => {
                Self::new(ErrorCode::BadToken, "the bearer token is not the right one")
            }
            Refusal::Credential(AuthError::WrongPlane) => {
                Self::new(ErrorCode::Forbidden, "the bearer token is valid, but not for this part of the API")
            }
            Refusal::NoCertificate => {
                Self::new(ErrorCode::Forbidden, "a node must show a certificate that this server can verify")
                    .hint("see tls.client_ca_file")
            }
            Refusal::Limited(rest) => {
                let message = "too many wrong tokens came from this address";
                Self::new(ErrorCode::TooManyFailures, message).retry_after_ms(millis(rest))
            }
        }
    }
}
