//! What llama.cpp's errors mean.

use adapter_api::AdapterError;
use http_util::{StreamRefused, excerpt};

use crate::wire::{EngineError, ErrorAnswer};

/// What it means that a stream did not open.
pub(crate) fn error(refused: StreamRefused) -> AdapterError {
    match refused {
        StreamRefused::Adapter(error) => error,
        StreamRefused::Status { status, retry_after, body } => {
            let said = serde_json::from_slice::<ErrorAnswer<'_>>(&body).ok();
            if said.is_none() && status < 300 {
                // E07: a whole answer instead of a stream repeats the prompt, so none of it is quoted.
                return AdapterError::Protocol { what: format!("status {status} and no event stream") };
            }
            let message =
                said.as_ref().map_or_else(|| excerpt(&body), |said| excerpt(said.error.message.as_bytes()));
            match status {
                400 => AdapterError::Refused { message },
                401 | 403 => {
                    AdapterError::Unreachable { reason: "the engine wants another API key".to_owned() }
                }
                429 => AdapterError::Busy { retry_after },
                503 if message.contains("no slot") => AdapterError::Busy { retry_after },
                503 => AdapterError::Unreachable { reason: message },
                500..=599 => AdapterError::Failed { message },
                _ => {
                    AdapterError::Protocol { what: format!("status {status} and no event stream: {message}") }
                }
            }
        }
    }
}

/// What it means that an open stream says an error.
pub(crate) fn failure(error: &EngineError<'_>) -> AdapterError {
    let message = excerpt(error.message.as_bytes());
    match &*error.kind {
        "invalid_request_error" | "exceed_context_size_error" => AdapterError::Refused { message },
        _ => AdapterError::Failed { message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // E07
    #[test]
    fn a_whole_answer_instead_of_a_stream_is_not_quoted() {
        let body = br#"{"content":"text","prompt":"my secret diary","stop":true}"#.as_slice().into();
        let refused = error(StreamRefused::Status { status: 200, retry_after: None, body });
        assert_eq!(refused, AdapterError::Protocol { what: "status 200 and no event stream".to_owned() });
    }
}
