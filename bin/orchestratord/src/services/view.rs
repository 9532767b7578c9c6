//! A task as its client sees it.

use api_types::{FinishReason, PlacementView, TaskState, TaskView, UsageView};
use orchestrator_core::{JobEnd, Priority, Timestamp, Workload};

use super::{
    events::{failure, millis},
    job::{JobEntry, JobStatus},
};
use crate::clock::Clock;

/// A task as lists show it.
pub(crate) fn task_summary(entry: &JobEntry, clock: Clock) -> TaskView {
    match &entry.past {
        Some(past) => past.view.clone(),
        None => summary_of(entry, &entry.shown_status(), clock),
    }
}

/// A task with this status.
pub(super) fn summary_of(entry: &JobEntry, status: &JobStatus, clock: Clock) -> TaskView {
    let (facts, admission) = (&entry.facts, status.admission.as_ref());
    let end = status.ended.map(|(_, end)| end);
    let attempt = status.attempt.as_ref();
    let shown = |at: Timestamp| clock.rfc3339(at);
    TaskView {
        job_id: facts.id.to_string(),
        task_id: facts.id.to_string(),
        session_id: facts.session_id.to_string(),
        state: state(status),
        workload: match facts.workload() {
            Workload::Completion => api_types::Workload::Completion,
            Workload::Embedding => api_types::Workload::Embedding,
            Workload::Rerank => api_types::Workload::Rerank,
        },
        model_ref: facts.model_ref.to_string(),
        priority: match facts.priority {
            Priority::Interactive => api_types::Priority::Interactive,
            Priority::Batch => api_types::Priority::Batch,
        },
        queue_position: None,
        queue_position_at_admission: admission.map_or(0, |admission| admission.queue_position),
        predicted_start_ms: admission.map_or(0, |admission| millis(admission.predicted_start)),
        accepted_at: shown(status.accepted_at),
        started_at: attempt.map(|attempt| shown(attempt.dispatched_at)),
        ended_at: status.ended.map(|(at, _)| shown(at)),
        placement: attempt.map(|attempt| PlacementView {
            pool_id: attempt.assignment.pool.to_string(),
            replica_id: attempt.assignment.replica.to_string(),
            engine: attempt.engine.to_owned(),
            engine_version: attempt.engine_version.clone(),
        }),
        attempts: attempt.map_or(0, |attempt| attempt.assignment.attempt),
        text: None,
        embeddings: None,
        ranking: None,
        recovery: status.recovery,
        usage: end.map(|_| usage(entry, status)),
        finish_reason: end.and_then(|end| finish_reason(status, end)),
        error: end.and_then(|end| failure(status, end)),
    }
}

pub(crate) fn state(status: &JobStatus) -> TaskState {
    match status.ended {
        Some((_, JobEnd::Completed)) => TaskState::Completed,
        Some((_, JobEnd::Canceled)) => TaskState::Canceled,
        Some((_, JobEnd::Failed(_))) => TaskState::Failed,
        None if status.attempt.is_some() => TaskState::Running,
        None => TaskState::Queued,
    }
}

fn usage(entry: &JobEntry, status: &JobStatus) -> UsageView {
    let counted = status.finish.map(|finish| finish.usage);
    UsageView {
        tokens_in: counted.map_or(0, |usage| usage.prompt),
        tokens_out: counted.map_or_else(|| entry.log.tokens(), |usage| usage.generated),
        tokens_cached: counted.and_then(|usage| usage.cached),
    }
}

fn finish_reason(status: &JobStatus, end: JobEnd) -> Option<FinishReason> {
    match end {
        JobEnd::Canceled => Some(FinishReason::Canceled),
        JobEnd::Failed(_) => None,
        JobEnd::Completed => status.finish.map(|finish| match finish.reason {
            adapter_api::FinishReason::Stop => FinishReason::Stop,
            adapter_api::FinishReason::Length => FinishReason::Length,
        }),
    }
}
