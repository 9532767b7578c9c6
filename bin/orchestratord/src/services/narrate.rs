//! The log lines of a job's life: fields for programs, and a sentence for people.

use std::time::Duration;

use narration_core::{Class, Ending, Narration, Phase, Refusal, narrate, record};
use orchestrator_core::{
    Admission, Assignment, FailReason, JobEnd, PoolId, Priority, RejectReason, Rejection, SessionRefusal,
    Timestamp,
};
use tracing::debug;

use super::{
    events::{decode_ms, millis},
    job::{Attempt, JobEntry, JobStatus},
};

//= ORCH-3027
pub(crate) fn accepted(entry: &JobEntry, granted: &Admission) {
    let class = match entry.facts.priority {
        Priority::Interactive => Class::Interactive,
        Priority::Batch => Class::Batch,
    };
    let told = Narration::admission_accepted(class, granted.queue_position, granted.predicted_start);
    narrate!(told, target: "orchestratord::admission", job_id = %entry.facts.id,
        correlation_id = %entry.facts.correlation_id, trace_id = entry.trace_id().map(display), session_id = %entry.facts.session_id, identity = %entry.facts.identity,
        pool_id = %granted.pool, priority = entry.facts.priority.as_str(),
        queue_position = granted.queue_position, predicted_start_ms = millis(granted.predicted_start), "task accepted");
}

pub(crate) fn refused(rejection: &Rejection) {
    let refusal = match &rejection.reason {
        RejectReason::NoPool => Refusal::NoPool,
        RejectReason::UnknownPin => Refusal::UnknownPin,
        RejectReason::NoSuchModel => Refusal::NoSuchModel,
        RejectReason::NoSuchWorkload => Refusal::NoSuchWorkload,
        RejectReason::Context { .. } => Refusal::Context,
        RejectReason::Device => Refusal::Device,
        RejectReason::Vram { .. } => Refusal::Vram,
        RejectReason::NodeUnavailable => Refusal::Node,
        RejectReason::Unready => Refusal::Unready,
        RejectReason::Unreachable => Refusal::Unreachable,
        RejectReason::Deadline { .. } => Refusal::Deadline,
        RejectReason::QueueFull => Refusal::QueueFull,
        RejectReason::NothingToDrop => Refusal::NothingToDrop,
        RejectReason::DuplicateId => Refusal::DuplicateId,
        RejectReason::Poisoned => Refusal::Poisoned,
        RejectReason::Session(SessionRefusal::Turns(_)) => Refusal::Turns,
        RejectReason::Session(SessionRefusal::TooMany) => Refusal::Sessions,
        RejectReason::Session(_) => Refusal::Budget,
        RejectReason::ShuttingDown => Refusal::ShuttingDown,
    };
    let told = Narration::admission_refused(refusal, rejection.retry_after);
    let pool_id = rejection.pool.as_ref().map(PoolId::as_str);
    if matches!(rejection.reason, RejectReason::Vram { .. }) {
        // Not overload: it stays so until somebody changes the model or the machine.
        //= ORCH-3351
        narrate!(told, target: "orchestratord::admission", pool_id, "task refused");
        return;
    }
    record(told);
    // Overload must not become a flood of lines; the counter tells how many there were.
    debug!(target: "orchestratord::admission", pool_id,
        retry_after_ms = rejection.retry_after.map(millis),
        actor = told.actor(), action = told.action(), target_kind = told.target(), human = told.human(), "task refused");
}

pub(crate) fn dispatched(entry: &JobEntry, attempt: &Attempt, waited: Duration) {
    let assignment = &attempt.assignment;
    let told = Narration::placement_decided(assignment.attempt, waited);
    narrate!(told, target: "orchestratord::dispatch", job_id = %entry.facts.id,
        correlation_id = %entry.facts.correlation_id, trace_id = entry.trace_id().map(display), pool_id = %assignment.pool,
        replica_id = %assignment.replica, engine = attempt.engine,
        engine_version = attempt.engine_version.as_deref(), latency_ms = millis(waited), "task dispatched");
}

pub(crate) fn streaming(entry: &JobEntry, now: Timestamp) {
    let attempt = entry.look(|status| {
        let attempt = status.attempt.as_ref()?;
        let Assignment { pool, replica, .. } = &attempt.assignment;
        Some((attempt.dispatched_at, pool.clone(), replica.clone()))
    });
    let Some((dispatched_at, pool_id, replica_id)) = attempt else { return };
    let after = now.since(dispatched_at);
    let told = Narration::stream_started(after);
    narrate!(told, target: "orchestratord::dispatch", job_id = %entry.facts.id,
        correlation_id = %entry.facts.correlation_id, trace_id = entry.trace_id().map(display), %pool_id,
        %replica_id, first_token_ms = millis(after), "stream started");
}

/// Tells the end of a job, and returns the sentence.
pub(crate) fn ended(entry: &JobEntry, status: &JobStatus, end: JobEnd) -> String {
    let usage = status.finish.map(|finish| finish.usage);
    let tokens_out = usage.map_or_else(|| entry.log.tokens(), |usage| usage.generated);
    let ended_at = status.ended.map_or(status.accepted_at, |(at, _)| at);
    let took = ended_at.since(status.accepted_at);
    let attempt = status.attempt.as_ref();
    let told = if end == JobEnd::Canceled {
        Narration::job_canceled(if attempt.is_some() { Phase::Running } else { Phase::Queued })
    } else {
        Narration::stream_ended(ending(status, end), u64::from(tokens_out), took)
    };
    narrate!(told, target: "orchestratord::jobs", job_id = %entry.facts.id,
        correlation_id = %entry.facts.correlation_id, trace_id = entry.trace_id().map(display), outcome = outcome(end),
        pool_id = attempt.map(|attempt| attempt.assignment.pool.as_str()),
        replica_id = attempt.map(|attempt| attempt.assignment.replica.as_str()),
        tokens_in = usage.map(|usage| usage.prompt),
        tokens_out,
        decode_time_ms = decode_ms(status), duration_ms = millis(took), "task ended");
    told.human()
}

fn outcome(end: JobEnd) -> &'static str {
    match end {
        JobEnd::Completed => "completed",
        JobEnd::Canceled => "canceled",
        JobEnd::Failed(_) => "failed",
    }
}

fn ending(status: &JobStatus, end: JobEnd) -> Ending {
    match end {
        JobEnd::Canceled => Ending::Canceled,
        JobEnd::Completed => match status.finish.map(|finish| finish.reason) {
            Some(adapter_api::FinishReason::Length) => Ending::Length,
            Some(adapter_api::FinishReason::Stop) | None => Ending::Stop,
        },
        JobEnd::Failed(FailReason::DeadlinePassed) => Ending::DeadlinePassed,
        JobEnd::Failed(FailReason::Dropped) => Ending::Dropped,
        JobEnd::Failed(FailReason::EngineLost) => Ending::EngineLost,
        JobEnd::Failed(FailReason::Drained) => Ending::Drained,
        JobEnd::Failed(FailReason::Poisoned) => Ending::Poisoned,
        JobEnd::Failed(FailReason::BudgetSpent) => Ending::BudgetSpent,
        JobEnd::Failed(FailReason::TimedOut) => Ending::TimedOut,
        JobEnd::Failed(FailReason::Refused) => Ending::Refused,
        JobEnd::Failed(FailReason::ShuttingDown) => Ending::ShuttingDown,
    }
}
