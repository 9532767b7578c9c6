//! What a job's stream says, apart from its tokens.

use adapter_api::AdapterError;
use api_types::{
    EndEvent, ErrorBody, ErrorCode, ErrorEvent, FinishReason, MetricsEvent, Preparation, RawJson, Recovery,
    StartedEvent, VerboseMetricsEvent,
};
use orchestrator_core::{Admission, Affinity, FailReason, JobEnd, Remaining, Workload};
use serde::Serialize;

use super::job::{Attempt, JobEntry, JobStatus, Surface};
use crate::{error::in_openai_words, relay::LastEvent};

/// How long a client waits before it submits a failed task again, unless something was measured.
const RETRY_DEFAULT_MS: u64 = 1_000;

/// `started`, ready to be said.
//= ORCH-3029
pub(crate) fn started(
    entry: &JobEntry,
    status: &JobStatus,
    attempt: &Attempt,
    recovery: Option<Recovery>,
) -> StartedEvent {
    let admission = status.admission.as_ref();
    StartedEvent {
        job_id: entry.facts.id.to_string(),
        queue_position: admission.map_or(0, |admission| admission.queue_position),
        predicted_start_ms: admission.map_or(0, |admission| millis(admission.predicted_start)),
        engine: attempt.engine.to_owned(),
        engine_version: attempt.engine_version.clone(),
        pool_id: attempt.assignment.pool.to_string(),
        replica_id: attempt.assignment.replica.to_string(),
        kv_warmth: attempt.assignment.affinity == Affinity::Kept,
        kv_migrated: (attempt.assignment.affinity == Affinity::Moved).then_some(false),
        attempt: attempt.assignment.attempt,
        recovery: recovery.map(|recovery| recovery.mode),
        discard_before_id: None,
        discard_after_id: None,
    }
}

/// The last events of a job.
pub(crate) fn last(
    entry: &JobEntry,
    status: &JobStatus,
    end: JobEnd,
    queue_depth: u32,
    human: String,
) -> Vec<LastEvent> {
    match entry.facts.surface {
        Surface::Native => native(entry, status, end, queue_depth, human),
        Surface::OpenAi => vec![openai(status, end)],
    }
}

/// `metrics`, then `end` or `error`.
fn native(
    entry: &JobEntry,
    status: &JobStatus,
    end: JobEnd,
    queue_depth: u32,
    human: String,
) -> Vec<LastEvent> {
    let tokens_sent = entry.log.tokens();
    let terminal = match failure(status, end) {
        None => plain("end", &end_event(entry, status, end)),
        Some(body) => plain("error", &error_event(status, body, tokens_sent)),
    };
    let numbers = metrics(status, queue_depth);
    let mut metrics = plain("metrics", &numbers);
    let explained = VerboseMetricsEvent { metrics: numbers, human, prep: Preparation::default() };
    metrics.verbose = Some(json(&explained));
    vec![metrics, terminal]
}

/// The mark behind which nothing comes, or an error.
fn openai(status: &JobStatus, end: JobEnd) -> LastEvent {
    match no_answer(status, end) {
        None => LastEvent { name: "", data: b"[DONE]".to_vec(), verbose: None },
        Some(body) => plain("", &in_openai_words(&body, None).1),
    }
}

/// Why whoever waits for the answer itself gets none; `None` when there is one.
pub(crate) fn no_answer(status: &JobStatus, end: JobEnd) -> Option<ErrorBody> {
    if end != JobEnd::Canceled {
        return failure(status, end);
    }
    Some(ErrorBody {
        code: ErrorCode::JobEnded,
        message: "the task was canceled".to_owned(),
        retriable: false,
        retry_after_ms: None,
        engine: None,
        pool_id: None,
        policy_label: None,
        hint: None,
    })
}

fn plain(name: &'static str, event: &impl Serialize) -> LastEvent {
    LastEvent { name, data: json(event), verbose: None }
}

//= ORCH-3100
fn metrics(status: &JobStatus, queue_depth: u32) -> MetricsEvent {
    let ended_at = status.ended.map_or(status.accepted_at, |(at, _)| at);
    let attempt = status.attempt.as_ref();
    let dispatched_at = attempt.map_or(ended_at, |attempt| attempt.dispatched_at);
    let cached = status.finish.and_then(|finish| finish.usage.cached);
    let admitted = || status.admission.as_ref().and_then(|admission| admission.budget);
    let left: Remaining = status.remaining.or_else(admitted).unwrap_or_default();
    MetricsEvent {
        queue_depth,
        queue_wait_ms: millis(dispatched_at.since(status.accepted_at)),
        first_token_ms: attempt
            .and_then(|attempt| attempt.first_token_at)
            .map(|at| millis(at.since(dispatched_at))),
        kv_warmth: cached.is_some_and(|cached| cached > 0),
        tokens_cached: cached,
        on_time_probability: status.admission.as_ref().and_then(on_time_probability),
        tokens_budget_remaining: left.tokens,
        time_budget_remaining_ms: left.time.map(millis),
        cost_budget_remaining: left.cost.map(units),
    }
}

/// The probability at admission that a job with a deadline is done by then.
pub(crate) fn on_time_probability(admission: &Admission) -> Option<f64> {
    admission.on_time_per_mille.map(|it| f64::from(it) / 1e3)
}

/// Millionths of a unit, as units.
pub(crate) fn units(millionths: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a cost of more than 2^53 millionths may lose its cents")]
    let units = millionths as f64 / 1e6;
    units
}

fn end_event(entry: &JobEntry, status: &JobStatus, end: JobEnd) -> EndEvent {
    let decode_ms = decode_ms(status);
    let canceled = end == JobEnd::Canceled;
    let finish = status.finish.filter(|_| !canceled);
    let usage = finish.map(|finish| finish.usage);
    let finish_reason = match finish.map(|finish| finish.reason) {
        None => FinishReason::Canceled,
        Some(adapter_api::FinishReason::Stop) => FinishReason::Stop,
        Some(adapter_api::FinishReason::Length) => FinishReason::Length,
    };
    let odd = finish.is_some_and(|finish| finish.invalid_utf8);
    let result = status.result.clone().filter(|_| !canceled).and_then(RawJson::parse);
    let (embeddings, ranking) = match entry.facts.workload() {
        Workload::Completion => (None, None),
        Workload::Embedding => (result, None),
        Workload::Rerank => (None, result),
    };
    EndEvent {
        tokens_in: usage.map_or(0, |usage| usage.prompt),
        tokens_out: usage.map_or_else(|| entry.log.tokens(), |usage| usage.generated),
        decode_time_ms: decode_ms,
        decode_ms,
        finish_reason,
        canceled: canceled.then_some(true),
        warnings: if odd { vec!["invalid_utf8".to_owned()] } else { Vec::new() },
        recovery: status.recovery,
        embeddings,
        ranking,
    }
}

/// The engine's own measure of generation, or the time from the first token to the end.
pub(crate) fn decode_ms(status: &JobStatus) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let measured = |ms: f64| ms.clamp(0.0, 1e15) as u64;
    if let Some(ms) = status.finish.and_then(|finish| finish.decode_ms) {
        return measured(ms);
    }
    let first = status.attempt.as_ref().and_then(|attempt| attempt.first_token_at);
    match (first, status.ended) {
        (Some(first), Some((ended, _))) => millis(ended.since(first)),
        _ => 0,
    }
}

fn error_event(status: &JobStatus, body: ErrorBody, tokens_out: u32) -> ErrorEvent {
    let attempt = status.attempt.as_ref();
    ErrorEvent {
        code: body.code,
        message: body.message,
        retriable: body.retriable,
        retry_after_ms: body.retry_after_ms,
        engine: body.engine,
        pool_id: body.pool_id,
        attempts: attempt.map_or(0, |attempt| attempt.assignment.attempt),
        tokens_out,
    }
}

/// Why a job failed, for its client; `None` when it did not fail.
pub(crate) fn failure(status: &JobStatus, end: JobEnd) -> Option<ErrorBody> {
    let reason = match end {
        JobEnd::Completed | JobEnd::Canceled => return None,
        JobEnd::Failed(reason) => reason,
    };
    if let Some(forbidden) = status.forbidden.clone().filter(|_| reason == FailReason::Refused) {
        return Some(*forbidden);
    }
    let (code, message) = match reason {
        FailReason::DeadlinePassed => {
            (ErrorCode::DeadlineUnmet, "the deadline passed before the job was done".to_owned())
        }
        FailReason::Dropped => (
            ErrorCode::QueueFullDropLru,
            "the queue was full and a newer job took this one's place".to_owned(),
        ),
        FailReason::EngineLost => (ErrorCode::WorkerReset, lost_message(status)),
        FailReason::Poisoned => (
            ErrorCode::Poisoned,
            "this request broke the engines that it met, and is not tried again".to_owned(),
        ),
        FailReason::BudgetSpent => {
            (ErrorCode::DecodeTimeout, "the time of the session's budget is used up".to_owned())
        }
        FailReason::TimedOut => (ErrorCode::DecodeTimeout, lost_message(status)),
        FailReason::Refused => (ErrorCode::InvalidParams, lost_message(status)),
        FailReason::Drained => {
            (ErrorCode::WorkerReset, "the pool was drained; submit the task again".to_owned())
        }
        FailReason::ShuttingDown => {
            (ErrorCode::WorkerReset, "the server is shutting down; submit the task again".to_owned())
        }
    };
    let retriable = reason != FailReason::BudgetSpent
        && !matches!(code, ErrorCode::DeadlineUnmet | ErrorCode::InvalidParams | ErrorCode::Poisoned);
    let attempt = status.attempt.as_ref();
    let pool = || status.admission.as_ref().map(|admission| admission.pool.to_string());
    Some(ErrorBody {
        code,
        message,
        retriable,
        retry_after_ms: retriable.then_some(RETRY_DEFAULT_MS),
        engine: attempt.map(|attempt| attempt.engine.to_owned()),
        pool_id: attempt.map(|attempt| attempt.assignment.pool.to_string()).or_else(pool),
        policy_label: (code == ErrorCode::QueueFullDropLru).then(|| "drop-lru".to_owned()),
        hint: None,
    })
}

/// What happened to the engine, in a closed set of sentences; its own words only when it refused.
fn lost_message(status: &JobStatus) -> String {
    match &status.error {
        Some(AdapterError::Refused { message }) => format!("the engine refused the request: {message}"),
        Some(AdapterError::Unreachable { .. } | AdapterError::Busy { .. }) => {
            "the engine could not be reached".to_owned()
        }
        Some(AdapterError::Protocol { .. }) => "the engine's answer broke its protocol".to_owned(),
        Some(AdapterError::Failed { .. }) => "the engine reported a failure".to_owned(),
        Some(error @ AdapterError::Silent { .. }) => format!("the {error}"),
        Some(AdapterError::Lost) | None => "the engine was lost".to_owned(),
    }
}

pub(crate) fn json(event: &impl Serialize) -> Vec<u8> {
    // These are plain structs with string keys; there is nothing in them that JSON cannot say.
    serde_json::to_vec(event).unwrap_or_default()
}

/// Whole milliseconds.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
