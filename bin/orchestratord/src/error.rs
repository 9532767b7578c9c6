//! Every failure becomes an answer here, and only here.

mod access;
mod artifacts;
mod fleet;
mod models;
mod openai;
#[cfg(test)]
mod tests;

pub(crate) use openai::{codes_in_openai_words, in_openai_words};

use api_types::{ErrorBody, ErrorCode};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use orchestrator_core::{RejectReason, Rejection, SessionRefusal, Share};

use store_api::StoreError;
use tracing::error;

use crate::services::{AdmissionError, CannotRead, Refused, millis, units};

/// How long a client waits when the scheduler itself has too much to do.
const OVERLOAD_RETRY_MS: u64 = 1_000;

/// An answer that is an error: the public envelope, and nothing from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    body: Box<ErrorBody>,
    /// The field at fault, with which the message begins.
    field: Option<Box<str>>,
}

impl ApiError {
    /// An error with the code's own status and the code's own word on trying again.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::of_body(ErrorBody {
            code,
            message: message.into(),
            retriable: is_retriable(code),
            retry_after_ms: None,
            engine: None,
            pool_id: None,
            policy_label: None,
            hint: None,
        })
    }

    /// The envelope of a job that failed, as an answer.
    pub(crate) fn of_body(body: ErrorBody) -> Self {
        Self { body: Box::new(body), field: None }
    }

    /// An error about one field of the request.
    pub(crate) fn about(field: &str, code: ErrorCode, problem: impl AsRef<str>) -> Self {
        let error = Self::new(code, format!("{field}: {}", problem.as_ref()));
        Self { field: Some(field.into()), ..error }
    }

    /// What was asked for cannot be kept now.
    pub(crate) fn storage() -> Self {
        Self::new(ErrorCode::StorageUnavailable, "the server cannot store anything now; nothing was accepted")
            .retry_after_ms(OVERLOAD_RETRY_MS)
    }

    /// The request is wrong in this field.
    pub(crate) fn invalid(field: &str, problem: impl AsRef<str>) -> Self {
        Self::about(field, ErrorCode::InvalidParams, problem)
    }

    /// The field at fault, and what is wrong with it.
    pub(crate) fn field(&self) -> Option<(&str, &str)> {
        let field = self.field.as_deref()?;
        let problem = self.body.message.strip_prefix(field)?.strip_prefix(": ")?;
        Some((field, problem))
    }

    /// The envelope.
    pub(crate) fn body(&self) -> &ErrorBody {
        &self.body
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.body.hint = Some(hint.to_owned());
        self
    }

    fn policy(mut self, label: &str) -> Self {
        self.body.policy_label = Some(label.to_owned());
        self
    }

    /// The envelope, for an answer that says more than it.
    pub(crate) fn into_body(self) -> ErrorBody {
        *self.body
    }

    pub(crate) fn retry_after_ms(mut self, wait: u64) -> Self {
        self.body.retry_after_ms = Some(wait);
        self
    }
}

/// The status of each code.
pub(crate) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidParams
        | ErrorCode::DeadlineUnmet
        | ErrorCode::BadHost
        | ErrorCode::UntrustedArtifact => StatusCode::BAD_REQUEST,
        ErrorCode::MissingToken | ErrorCode::BadToken => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::TaskIdConflict
        | ErrorCode::ModelConflict
        | ErrorCode::JobEnded
        | ErrorCode::NodeConflict
        | ErrorCode::PoolBusy
        | ErrorCode::PoolNotManaged
        | ErrorCode::ReloadFailed => StatusCode::CONFLICT,
        ErrorCode::StreamExpired => StatusCode::GONE,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Poisoned => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::AdmissionReject | ErrorCode::QueueFullDropLru | ErrorCode::TooManyFailures => {
            StatusCode::TOO_MANY_REQUESTS
        }
        ErrorCode::PoolUnready
        | ErrorCode::PoolUnavailable
        | ErrorCode::ModelNotAvailable
        | ErrorCode::NodeUnavailable
        | ErrorCode::StorageUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        // These two end streams; they are answers only where nothing was streamed yet.
        ErrorCode::WorkerReset => StatusCode::BAD_GATEWAY,
        ErrorCode::DecodeTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether the same request may succeed later.
fn is_retriable(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AdmissionReject
            | ErrorCode::QueueFullDropLru
            | ErrorCode::TooManyFailures
            | ErrorCode::PoolUnready
            | ErrorCode::PoolUnavailable
            | ErrorCode::ModelNotAvailable
            | ErrorCode::NodeUnavailable
            | ErrorCode::PoolBusy
            | ErrorCode::DecodeTimeout
            | ErrorCode::WorkerReset
            | ErrorCode::RequestTimeout
            | ErrorCode::StorageUnavailable
    )
}

impl IntoResponse for ApiError {
    //= ORCH-2007
    fn into_response(self) -> Response {
        let status = status(self.body.code);
        let wait = self.body.retry_after_ms;
        let mut response = (status, Json(&self.body)).into_response();
        // A surface of another dialect says it again in its own.
        response.extensions_mut().insert(self);
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

impl From<CannotRead> for ApiError {
    fn from(error: CannotRead) -> Self {
        match error {
            CannotRead::Store(StoreError::Unavailable { .. } | StoreError::Unknown) => {
                Self::new(ErrorCode::StorageUnavailable, "what was stored of this task cannot be read now")
                    .retry_after_ms(OVERLOAD_RETRY_MS)
            }
            error => {
                error!(target: "orchestratord::error", %error, "a stored stream cannot be read");
                Self::new(ErrorCode::Internal, "what was stored of this task is damaged")
            }
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
                Self::about("task_id", ErrorCode::TaskIdConflict, "another request has used this id")
            }
            AdmissionError::Overloaded => Refused.into(),
            AdmissionError::Storage => Self::storage(),
            AdmissionError::Model(unfit) => unfit.into(),
            AdmissionError::Rejected(rejection) => rejection.into(),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let mut error = of_reason(&rejection.reason);
        error.body.pool_id = rejection.pool.map(|pool| pool.to_string());
        if let Some(wait) = rejection.retry_after {
            error.body.retry_after_ms = Some(millis(wait));
        }
        error
    }
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
            let problem = "the session has not enough left for this task";
            ApiError::about(budget_of(share), ErrorCode::AdmissionReject, problem).policy("session-budget")
        }
        SessionRefusal::Turns(turns) => {
            let problem = format!("the session has had its {turns} tasks");
            ApiError::about("session_id", ErrorCode::AdmissionReject, problem).policy("session-turns")
        }
        SessionRefusal::TooMany => {
            ApiError::new(ErrorCode::AdmissionReject, "too many sessions are at work").policy("sessions")
        }
    }
}

fn of_reason(reason: &RejectReason) -> ApiError {
    match reason {
        RejectReason::NoPool => ApiError::new(ErrorCode::PoolUnavailable, "there is no pool"),
        RejectReason::UnknownPin => ApiError::invalid("placement.pin_pool_id", "no pool is called like this"),
        RejectReason::NoSuchModel => {
            ApiError::about("model_ref", ErrorCode::ModelNotAvailable, "no pool serves this model")
                .hint("GET /v2/meta/capabilities lists the models")
        }
        RejectReason::NoSuchWorkload => {
            let problem = "no engine that serves this model does this kind of work";
            ApiError::about("workload", ErrorCode::ModelNotAvailable, problem)
                .hint("GET /v2/meta/capabilities lists the workloads of each engine")
        }
        RejectReason::Context { limit } => {
            ApiError::invalid("ctx", format!("prompt and max_tokens do not fit {limit} tokens of context"))
        }
        RejectReason::Device => {
            let message = "what serves this model runs on devices that the request or the policy rules out";
            let mut error = ApiError::new(ErrorCode::PoolUnavailable, message);
            error.body.retriable = false;
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
        RejectReason::NodeUnavailable => {
            let problem = "the node is not known, or does not answer";
            ApiError::about("placement.node_id", ErrorCode::NodeUnavailable, problem)
                .retry_after_ms(OVERLOAD_RETRY_MS)
        }
        //= ORCH-3351
        RejectReason::Vram { need, have } => {
            let message =
                format!("this needs {need} bytes of GPU memory, and the most that there is are {have}");
            let mut error = ApiError::new(ErrorCode::PoolUnavailable, message);
            error.body.retriable = false;
            error
        }
        RejectReason::Deadline { predicted_start } => {
            let start = millis(*predicted_start);
            let problem = format!("the job would start only in {start} ms");
            ApiError::about("deadline_ms", ErrorCode::DeadlineUnmet, problem)
        }
        RejectReason::QueueFull => {
            ApiError::new(ErrorCode::AdmissionReject, "the queue is full").policy("reject")
        }
        RejectReason::NothingToDrop => {
            let message = "the queue is full and holds nothing that may be dropped for this job";
            ApiError::new(ErrorCode::QueueFullDropLru, message).policy("drop-lru")
        }
        RejectReason::DuplicateId => {
            ApiError::about("task_id", ErrorCode::TaskIdConflict, "the id is in use")
        }
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
