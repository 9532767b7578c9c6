//! Errors: one envelope and one closed list of codes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for programs. The list is closed; a code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The request is malformed or asks for more than there is.
    InvalidParams,
    /// The deadline cannot be met, or has passed.
    DeadlineUnmet,
    /// No credential came with the request.
    MissingToken,
    /// The credential is wrong.
    BadToken,
    /// The credential is valid, but not for this.
    Forbidden,
    /// Too many wrong credentials came from the client's address.
    TooManyFailures,
    /// There is no such thing.
    NotFound,
    /// The thing is there, but not this way of asking for it.
    MethodNotAllowed,
    /// The id is taken by another request.
    TaskIdConflict,
    /// The id is taken by another model.
    ModelConflict,
    /// The job ended before.
    JobEnded,
    /// The name is taken by another node.
    NodeConflict,
    /// Something else is being done to the pool, or still runs there.
    PoolBusy,
    /// Nobody is there who could do that to the pool.
    PoolNotManaged,
    /// The pool could not change to the model, and serves the one that it had.
    ReloadFailed,
    /// The stream is past its retention.
    StreamExpired,
    /// The body is larger than allowed.
    PayloadTooLarge,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is not JSON, or is encoded.
    UnsupportedMediaType,
    /// The `Host` header is missing, doubled or foreign.
    BadHost,
    /// The queue is full.
    AdmissionReject,
    /// The queue is full and nothing may be dropped; or this job was dropped.
    QueueFullDropLru,
    /// The pool is not Ready.
    PoolUnready,
    /// There is no pool, or it cannot be reached, or may not run this.
    PoolUnavailable,
    /// No pool serves the model, or it is retired.
    ModelNotAvailable,
    /// The model failed its verification, or does not prove what the policy asks for.
    UntrustedArtifact,
    /// The node named is not there.
    NodeUnavailable,
    /// The engine took too long.
    DecodeTimeout,
    /// The engine was lost.
    WorkerReset,
    /// The request broke the engines that it met.
    Poisoned,
    /// The store cannot keep what was asked for now.
    StorageUnavailable,
    /// Anything else.
    Internal,
}

impl ErrorCode {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParams => "INVALID_PARAMS",
            Self::DeadlineUnmet => "DEADLINE_UNMET",
            Self::MissingToken => "MISSING_TOKEN",
            Self::BadToken => "BAD_TOKEN",
            Self::Forbidden => "FORBIDDEN",
            Self::TooManyFailures => "TOO_MANY_FAILURES",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::TaskIdConflict => "TASK_ID_CONFLICT",
            Self::ModelConflict => "MODEL_CONFLICT",
            Self::JobEnded => "JOB_ENDED",
            Self::NodeConflict => "NODE_CONFLICT",
            Self::PoolBusy => "POOL_BUSY",
            Self::PoolNotManaged => "POOL_NOT_MANAGED",
            Self::ReloadFailed => "RELOAD_FAILED",
            Self::StreamExpired => "STREAM_EXPIRED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::BadHost => "BAD_HOST",
            Self::AdmissionReject => "ADMISSION_REJECT",
            Self::QueueFullDropLru => "QUEUE_FULL_DROP_LRU",
            Self::PoolUnready => "POOL_UNREADY",
            Self::PoolUnavailable => "POOL_UNAVAILABLE",
            Self::ModelNotAvailable => "MODEL_NOT_AVAILABLE",
            Self::UntrustedArtifact => "UNTRUSTED_ARTIFACT",
            Self::NodeUnavailable => "NODE_UNAVAILABLE",
            Self::DecodeTimeout => "DECODE_TIMEOUT",
            Self::WorkerReset => "WORKER_RESET",
            Self::StorageUnavailable => "STORAGE_UNAVAILABLE",
            Self::Poisoned => "POISONED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"code": "INVALID_PARAMS", "message": "max_tokens: must be from 1 to 16777216", "retriable": false}))]
pub struct ErrorBody {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, for people. Names the field, where one is at fault.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retriable: bool,
    /// When trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The engine that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The pool that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// The full-queue policy that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_label: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What is wrong with a value of a body, without the value: serde quotes it, and it may be a prompt or a secret
/// that stands in the wrong place.
//= AUTH-1007
pub fn misfit(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.rsplit_once(", expected ") {
        Some((_, wanted)) if error.is_data() => {
            let wanted = wanted.split_once(" at line ").map_or(wanted, |(wanted, _)| wanted);
            format!("must be {}", in_json(wanted))
        }
        _ => said,
    }
}

/// What serde calls a shape in Rust's words, in those of JSON.
fn in_json(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= AUTH-1007 type=test
    #[test]
    fn what_does_not_fit_is_not_repeated() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "it is only read into")]
        struct Body {
            count: u32,
            code: Option<ErrorCode>,
        }
        let told = |text: &str| misfit(&serde_json::from_str::<Body>(text).unwrap_err());
        for text in [
            r#"{"count": "secret"}"#,
            r#"{"count": ", expected secret"}"#,
            r#"{"count": 1, "code": "secret"}"#,
            r#"{"count": ["secret"]}"#,
            r#""secret""#,
            r#"{"count": secret}"#,
            r#"{"count": "secret"#,
        ] {
            assert!(!told(text).contains("secret"), "{text}: {}", told(text));
        }
        assert_eq!(told(r#"{"count": "secret"}"#), "must be a whole number");
        assert_eq!(told(r#""secret""#), "must be an object");
        assert!(told("{}").starts_with("missing field `count`"));
        assert_eq!(told(r#"{"count": 1.5}"#), "must be a whole number");
    }

    #[test]
    fn a_code_reads_the_same_as_text_and_in_json() {
        let untrusted = ErrorCode::UntrustedArtifact;
        for code in [ErrorCode::InvalidParams, ErrorCode::QueueFullDropLru, ErrorCode::WorkerReset, untrusted]
        {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }
}
