//! What a path and a query say, with our own words for what they cannot say.

use api_types::ErrorCode;
use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// The one name in a path. What is no text names nothing.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let nothing = |_no_text| ApiError::new(ErrorCode::NotFound, "there is nothing of this name");
        path.map(|Path(name)| Self(name)).map_err(nothing)
    }
}

/// A query, decoded.
pub(crate) struct WireQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for WireQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::invalid("query", error.body_text()))
    }
}
