//! The last step of every answer of this surface.

use axum::{
    Json,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::error::{ApiError, in_openai_words};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

//= ORCH-3203
/// Says an error again in this surface's dialect, with the headers that its clients obey.
pub(super) async fn say_errors_in_openai_words(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let (status, body) = in_openai_words(error.body(), error.field());
    let mut said = (status, Json(body)).into_response();
    let retry = if error.body().retriable { "true" } else { "false" };
    said.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static(retry));
    if let Some(wait) = error.body().retry_after_ms {
        said.headers_mut().insert(RETRY_AFTER_MS, HeaderValue::from(wait));
    }
    for (name, value) in response.headers() {
        if ![header::CONTENT_LENGTH, header::CONTENT_TYPE].contains(name) {
            said.headers_mut().insert(name.clone(), value.clone());
        }
    }
    said
}
