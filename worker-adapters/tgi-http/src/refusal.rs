//! What an error inside a stream means.
//!
//! This engine says 200 before it has looked at a request, so its refusals come as events.

use adapter_api::AdapterError;
use http_util::excerpt;

/// What it means that an open stream says this error, of this kind.
pub(crate) fn failure(message: &str, kind: &str) -> AdapterError {
    let message = excerpt(message.as_bytes());
    match kind {
        "overloaded" => AdapterError::Busy { retry_after: None },
        "validation" => AdapterError::Refused { message },
        "unhealthy" | "healthcheck" => AdapterError::Unreachable { reason: message },
        _ => AdapterError::Failed { message },
    }
}
