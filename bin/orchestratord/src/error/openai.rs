//! Errors in `OpenAI`'s words, for clients that were written for its API.

use api_types::{ErrorBody, ErrorCode, OpenAiError, OpenAiErrorBody};
use axum::http::StatusCode;

/// What a prompt that is too long is called there.
const CONTEXT: &str = "context_length_exceeded";

//= ORCH-3202
/// What an error is called where `OpenAI`'s clients meet it, and the status of an answer that says it.
pub(crate) fn in_openai_words(
    body: &ErrorBody,
    field: Option<(&str, &str)>,
) -> (StatusCode, OpenAiErrorBody) {
    let param = field.and_then(|(field, _)| param(field));
    let message = match (field, param) {
        (Some((_, problem)), Some(param)) => format!("{param}: {problem}"),
        (Some((_, problem)), None) => problem.to_owned(),
        (None, _) => body.message.clone(),
    };
    let code = match (body.code, field) {
        (ErrorCode::InvalidParams, Some(("ctx", _))) => CONTEXT.to_owned(),
        (code, _) => code_of(code),
    };
    let status = status(body.code);
    let error = OpenAiError {
        message,
        kind: kind(status).to_owned(),
        param: param.map(str::to_owned),
        code: Some(code),
    };
    (status, OpenAiErrorBody { error })
}

/// The status of a code there, and the words that may stand for it.
pub(crate) fn codes_in_openai_words(code: ErrorCode) -> (StatusCode, Vec<String>) {
    let mut words = vec![code_of(code)];
    if code == ErrorCode::InvalidParams {
        words.push(CONTEXT.to_owned());
    }
    (status(code), words)
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        // Who asks for a model that nobody serves has made a mistake, in that API's view.
        ErrorCode::ModelNotAvailable => StatusCode::NOT_FOUND,
        code => super::status(code),
    }
}

/// The field's name in that API; `None` for one that it does not have.
fn param(field: &str) -> Option<&str> {
    match field {
        "model_ref" | "workload" => Some("model"),
        "ctx" | "session_id" | "task_id" | "budget" => None,
        field if field.starts_with("budget.") => None,
        field => Some(field),
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

/// The names that its clients know, where they know one; else our own in its spelling.
fn code_of(code: ErrorCode) -> String {
    match code {
        ErrorCode::ModelNotAvailable => "model_not_found".to_owned(),
        ErrorCode::MissingToken | ErrorCode::BadToken => "invalid_api_key".to_owned(),
        ErrorCode::AdmissionReject | ErrorCode::QueueFullDropLru => "rate_limit_exceeded".to_owned(),
        other => other.as_str().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;

    fn told(error: &ApiError) -> (u16, String, Option<String>, String) {
        let (status, body) = in_openai_words(error.body(), error.field());
        let error = body.error;
        (status.as_u16(), error.message, error.param, error.code.unwrap_or_default())
    }

    #[test]
    fn fields_and_codes_get_the_names_that_its_clients_know() {
        let unknown = ApiError::about("model_ref", ErrorCode::ModelNotAvailable, "no pool serves this model");
        let expected = (404, "model: no pool serves this model", Some("model".to_owned()), "model_not_found");
        let (status, message, param, code) = told(&unknown);
        assert_eq!((status, message.as_str(), param, code.as_str()), expected);

        let (status, message, param, code) = told(&ApiError::invalid("ctx", "it does not fit"));
        assert_eq!(
            (status, message.as_str(), param, code.as_str()),
            (400, "it does not fit", None, "context_length_exceeded")
        );
        let spent = ApiError::about("budget.tokens", ErrorCode::AdmissionReject, "not enough is left");
        let (status, message, param, code) = told(&spent);
        assert_eq!(
            (status, message.as_str(), param, code.as_str()),
            (429, "not enough is left", None, "rate_limit_exceeded")
        );
        let (status, message, param, code) = told(&ApiError::new(ErrorCode::WorkerReset, "lost"));
        assert_eq!((status, message.as_str(), param, code.as_str()), (502, "lost", None, "worker_reset"));
    }

    #[test]
    fn the_kind_of_an_error_follows_from_its_status() {
        let kind = |code| in_openai_words(ApiError::new(code, "x").body(), None).1.error.kind;
        assert_eq!(kind(ErrorCode::BadToken), "authentication_error");
        assert_eq!(kind(ErrorCode::AdmissionReject), "rate_limit_error");
        assert_eq!(kind(ErrorCode::Poisoned), "invalid_request_error");
        assert_eq!(kind(ErrorCode::WorkerReset), "server_error");
    }
}
