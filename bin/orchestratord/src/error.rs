//! Every failure becomes an answer here, and only here.

use api_types::{ErrorBody, ErrorCode};
use auth_min::AuthError;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use orchestrator_core::{RejectReason, Rejection, SessionRefusal, Share};

use crate::services::{AdmissionError, Refused, millis, units};

/// How long a client waits when the scheduler itself has too much to do.
const OVERLOAD_RETRY_MS: u64 = 1_000;

/// An answer that is an error: the public envelope, and nothing from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError(Box<ErrorBody>);

impl ApiError {
    /// An error with the code's own status and the code's own word on trying again.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorBody {
            code,
            message: message.into(),
            retriable: is_retriable(code),
            retry_after_ms: None,
            engine: None,
            pool_id: None,
            policy_label: None,
            hint: None,
        }))
    }

    /// The request is wrong in this field.
    pub(crate) fn invalid(field: &str, problem: impl AsRef<str>) -> Self {
        Self::new(ErrorCode::InvalidParams, format!("{field}: {}", problem.as_ref()))
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.0.hint = Some(hint.to_owned());
        self
    }

    /// The envelope, for an answer that says more than it.
    pub(crate) fn into_body(self) -> ErrorBody {
        *self.0
    }

    pub(crate) fn retry_after_ms(mut self, wait: u64) -> Self {
        self.0.retry_after_ms = Some(wait);
        self
    }
}

/// The status of each code.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidParams | ErrorCode::DeadlineUnmet | ErrorCode::BadHost => StatusCode::BAD_REQUEST,
        ErrorCode::MissingToken | ErrorCode::BadToken => StatusCode::UNAUTHORIZED,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::TaskIdConflict | ErrorCode::JobEnded => StatusCode::CONFLICT,
        ErrorCode::StreamExpired => StatusCode::GONE,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Poisoned => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::AdmissionReject | ErrorCode::QueueFullDropLru => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::PoolUnready
        | ErrorCode::PoolUnavailable
        | ErrorCode::ModelNotAvailable
        | ErrorCode::NodeUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        // These two only ever end a stream; as an answer they would be a bug of ours.
        ErrorCode::DecodeTimeout | ErrorCode::WorkerReset | ErrorCode::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// Whether the same request may succeed later.
fn is_retriable(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AdmissionReject
            | ErrorCode::QueueFullDropLru
            | ErrorCode::PoolUnready
            | ErrorCode::PoolUnavailable
            | ErrorCode::ModelNotAvailable
            | ErrorCode::NodeUnavailable
            | ErrorCode::DecodeTimeout
            | ErrorCode::WorkerReset
            | ErrorCode::RequestTimeout
    )
}

impl IntoResponse for ApiError {
    //= ORCH-2007
    fn into_response(self) -> Response {
        let status = status(self.0.code);
        let wait = self.0.retry_after_ms;
        let mut response = (status, Json(*self.0)).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = wait {
            // Whole seconds, rounded up, at least one.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1_000).max(1)));
            headers.insert("x-backoff-ms", HeaderValue::from(wait));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::new(ErrorCode::MissingToken, "the request carries no bearer token")
                .hint("send the header `Authorization: Bearer <token>`"),
            AuthError::Bad => Self::new(ErrorCode::BadToken, "the bearer token is not the right one"),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(_: Refused) -> Self {
        Self::new(ErrorCode::AdmissionReject, "the server has too much to do")
            .retry_after_ms(OVERLOAD_RETRY_MS)
    }
}

impl From<AdmissionError> for ApiError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Conflict => {
                Self::new(ErrorCode::TaskIdConflict, "task_id: another request has used this id")
            }
            AdmissionError::Overloaded => Refused.into(),
            AdmissionError::Rejected(rejection) => rejection.into(),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let mut error = of_reason(&rejection.reason);
        error.0.pool_id = rejection.pool.map(|pool| pool.to_string());
        if let Some(wait) = rejection.retry_after {
            error.0.retry_after_ms = Some(millis(wait));
        }
        error
    }
}

fn policy(code: ErrorCode, message: impl Into<String>, label: &str) -> ApiError {
    let mut error = ApiError::new(code, message);
    error.0.policy_label = Some(label.to_owned());
    error
}

fn of_session(refusal: SessionRefusal) -> ApiError {
    let budget_of = |share| match share {
        Share::Tokens => "budget.tokens",
        Share::Time => "budget.time_ms",
        Share::Cost => "budget.cost",
    };
    match refusal {
        SessionRefusal::OtherBudget => {
            ApiError::invalid("budget", "the session has other limits, which its first task has set")
        }
        SessionRefusal::Exceeds(share, limit) => {
            let limit = match share {
                Share::Tokens => format!("{limit} tokens"),
                Share::Time => format!("{limit} ms"),
                Share::Cost => units(limit).to_string(),
            };
            let problem = format!("the task may need more than the session's whole limit of {limit}");
            ApiError::invalid(budget_of(share), problem)
        }
        SessionRefusal::Spent(share) => {
            let message = format!("{}: the session has not enough left for this task", budget_of(share));
            policy(ErrorCode::AdmissionReject, message, "session-budget")
        }
        SessionRefusal::Turns(turns) => {
            let message = format!("session_id: the session has had its {turns} tasks");
            policy(ErrorCode::AdmissionReject, message, "session-turns")
        }
        SessionRefusal::TooMany => {
            policy(ErrorCode::AdmissionReject, "too many sessions are at work", "sessions")
        }
    }
}

fn of_reason(reason: &RejectReason) -> ApiError {
    match reason {
        RejectReason::NoPool => ApiError::new(ErrorCode::PoolUnavailable, "there is no pool"),
        RejectReason::UnknownPin => ApiError::invalid("placement.pin_pool_id", "no pool is called like this"),
        RejectReason::NoSuchModel => {
            ApiError::new(ErrorCode::ModelNotAvailable, "model_ref: no pool serves this model")
                .hint("GET /v2/meta/capabilities lists the models")
        }
        RejectReason::NoSuchWorkload => {
            let message = "workload: no engine that serves this model does this kind of work";
            ApiError::new(ErrorCode::ModelNotAvailable, message)
                .hint("GET /v2/meta/capabilities lists the workloads of each engine")
        }
        RejectReason::Context { limit } => {
            ApiError::invalid("ctx", format!("prompt and max_tokens do not fit {limit} tokens of context"))
        }
        RejectReason::Device => {
            let message = "what serves this model runs on devices that the request or the policy rules out";
            let mut error = ApiError::new(ErrorCode::PoolUnavailable, message);
            error.0.retriable = false;
            error
        }
        RejectReason::Unready => {
            ApiError::new(ErrorCode::PoolUnready, "no pool that may run this is ready yet")
                .retry_after_ms(OVERLOAD_RETRY_MS)
        }
        RejectReason::Unreachable => {
            ApiError::new(ErrorCode::PoolUnavailable, "the pool's engines cannot be reached")
                .retry_after_ms(OVERLOAD_RETRY_MS)
        }
        RejectReason::Deadline { predicted_start } => {
            let start = millis(*predicted_start);
            let message = format!("deadline_ms: the job would start only in {start} ms");
            ApiError::new(ErrorCode::DeadlineUnmet, message)
        }
        RejectReason::QueueFull => policy(ErrorCode::AdmissionReject, "the queue is full", "reject"),
        RejectReason::NothingToDrop => policy(
            ErrorCode::QueueFullDropLru,
            "the queue is full and holds nothing that may be dropped for this job",
            "drop-lru",
        ),
        RejectReason::DuplicateId => ApiError::new(ErrorCode::TaskIdConflict, "task_id: the id is in use"),
        RejectReason::Poisoned => {
            let message =
                "requests like this one broke the engines that they met; they are refused for a while";
            ApiError::new(ErrorCode::Poisoned, message)
        }
        RejectReason::Session(refusal) => of_session(*refusal),
        RejectReason::ShuttingDown => {
            ApiError::new(ErrorCode::PoolUnavailable, "the server is shutting down")
                .retry_after_ms(OVERLOAD_RETRY_MS)
        }
    }
}
