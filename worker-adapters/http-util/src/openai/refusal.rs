//! What the errors of this dialect mean.
//!
//! Status codes are shared, words are not: the same 503 says "busy" to one engine and "loading" to
//! another. So the few words that decide are looked for, and only the engine's own message is quoted.

use std::time::Duration;

use adapter_api::AdapterError;
use serde_json::Value;

use crate::{client::StreamRefused, redact::excerpt};

/// What it means that a stream did not open.
pub fn error(refused: StreamRefused) -> AdapterError {
    let (status, retry_after, body) = match refused {
        StreamRefused::Adapter(error) => return error,
        StreamRefused::Status { status, retry_after, body } => (status, retry_after, body),
    };
    if status < 300 {
        // E07: a whole answer instead of a stream may repeat the prompt, so none of it is quoted.
        return AdapterError::Protocol { what: format!("status {status} and no event stream") };
    }
    let said = serde_json::from_slice::<Value>(&body).ok();
    let message = said.as_ref().and_then(message).unwrap_or_default();
    meaning(status, retry_after, message)
}

/// What it means that an open stream says an error.
pub(super) fn failure(error: &Value) -> AdapterError {
    let message = text(error).unwrap_or_default();
    let kind = error.get("type").and_then(Value::as_str).unwrap_or_default();
    let code = error.get("code").or_else(|| error.get("http_status_code")).and_then(Value::as_u64);
    let told = match kind {
        "BadRequestError" | "invalid_request_error" | "exceed_context_size_error" => Some(400),
        "overloaded_error" | "rate_limit_exceeded" => Some(429),
        _ => code.and_then(|code| u16::try_from(code).ok()),
    };
    match told {
        // TGI writes 422 on every error of an open stream; its words tell them apart.
        Some(422) if !message.starts_with("Input validation error") => {
            if is_busy(message) {
                busy(None)
            } else {
                failed(message)
            }
        }
        Some(status @ (400 | 413 | 422 | 429 | 503)) => meaning(status, None, message),
        _ => failed(message),
    }
}

fn meaning(status: u16, retry_after: Option<Duration>, message: &str) -> AdapterError {
    let shown =
        if message.is_empty() { format!("it answered {status}") } else { excerpt(message.as_bytes()) };
    match status {
        400 | 413 | 422 => AdapterError::Refused { message: shown },
        401 | 403 => AdapterError::Unreachable { reason: "the engine wants another API key".to_owned() },
        // The model was there when it was asked for last, so the engine has changed since.
        404 if message.contains("model") => AdapterError::Unreachable { reason: shown },
        429 => busy(retry_after),
        503 if is_busy(message) => busy(retry_after),
        503 => AdapterError::Unreachable { reason: shown },
        424 | 500..=599 => failed(&shown),
        _ => AdapterError::Protocol { what: format!("status {status} and no event stream: {shown}") },
    }
}

fn is_busy(message: &str) -> bool {
    ["busy", "overloaded", "no slot"].iter().any(|word| message.contains(word))
}

fn busy(retry_after: Option<Duration>) -> AdapterError {
    AdapterError::Busy { retry_after }
}

fn failed(message: &str) -> AdapterError {
    AdapterError::Failed { message: excerpt(message.as_bytes()) }
}

/// The message of a whole answer that is an error, in the shapes that servers use for it.
fn message(answer: &Value) -> Option<&str> {
    let named = answer.get("error").and_then(text);
    named.or_else(|| answer.get("message").and_then(Value::as_str))
}

/// An error that is an object with a message, or the message itself.
fn text(error: &Value) -> Option<&str> {
    error.as_str().or_else(|| error.get("message").and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, body: &Value) -> AdapterError {
        let body = body.to_string().into();
        error(StreamRefused::Status { status, retry_after: None, body })
    }

    fn failed_with(message: &str) -> AdapterError {
        failed(message)
    }

    #[test]
    fn each_status_has_its_meaning() {
        let says = |message: &str| json!({"error": {"message": message, "type": "x"}});
        let refusal = |message: &str| AdapterError::Refused { message: message.to_owned() };
        let away = |reason: &str| AdapterError::Unreachable { reason: reason.to_owned() };
        let table = [
            (400, says("too long"), refusal("too long")),
            (413, json!({}), refusal("it answered 413")),
            (
                422,
                json!({"error": "Input validation error", "error_type": "validation"}),
                refusal("Input validation error"),
            ),
            (400, json!({"object": "error", "message": "old"}), refusal("old")),
            (401, json!({"error": "Unauthorized"}), away("the engine wants another API key")),
            (404, says("The model `x` does not exist."), away("The model `x` does not exist.")),
            (424, json!({"error": "Request failed"}), failed_with("Request failed")),
            (429, json!({"error": "Model is overloaded"}), busy(None)),
            (500, says("boom"), failed_with("boom")),
            (503, says("The engine is currently busy and cannot accept new requests."), busy(None)),
            (503, says("Loading model"), away("Loading model")),
        ];
        for (status, body, wanted) in table {
            assert_eq!(refused(status, &body), wanted, "{status} {body}");
        }
        let route = refused(404, &json!({"detail": "Not Found"}));
        assert!(matches!(route, AdapterError::Protocol { .. }), "{route:?}");
    }

    // E07
    #[test]
    fn what_is_not_an_error_message_is_never_quoted() {
        let echo = json!({"prompt": "my secret diary", "detail": [{"input": "my secret diary"}]});
        for status in [200, 302, 400, 404, 500, 503] {
            let shown = format!("{:?}", refused(status, &echo));
            assert!(!shown.contains("diary"), "{shown}");
        }
    }

    #[test]
    fn an_error_inside_a_stream_is_told_by_its_type_its_code_or_its_words() {
        let dead = json!({"message": "EngineCore encountered an issue.", "type": "InternalServerError",
            "param": null, "code": 500});
        assert_eq!(failure(&dead), failed_with("EngineCore encountered an issue."));
        let long = json!({"message": "too long", "type": "exceed_context_size_error", "code": 400});
        assert_eq!(failure(&long), AdapterError::Refused { message: "too long".to_owned() });
        let tgi = |message: &str| json!({"message": message, "http_status_code": 422});
        assert_eq!(failure(&tgi("Model is overloaded")), busy(None));
        let generation = "Request failed during generation: the shard is gone";
        assert_eq!(failure(&tgi(generation)), failed_with(generation));
        let invalid = "Input validation error: `inputs` must be shorter";
        assert_eq!(failure(&tgi(invalid)), AdapterError::Refused { message: invalid.to_owned() });
        assert_eq!(failure(&json!("just words")), failed_with("just words"));
        assert_eq!(failure(&json!({"code": "server_error", "message": "a\nb"})), failed_with("a b"));
    }
}
