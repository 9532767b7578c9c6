//! From the server's nouns to answers.

mod explain;
mod session;

use api_types::{
    Admission as WireAdmission, CapabilitiesView, EndEvent, EngineView, FinishReason, PlacementView,
    PoolHealth, PoolMetrics, PoolView, Preparation, ReplicaView, Streams, TaskState, TaskView, UsageView,
};
use orchestrator_core::{
    Admission, Device, JobEnd, JobId, PoolSummary, Priority, Readiness, ReplicaSummary, Timestamp, Workload,
};

use super::openai;
use crate::{
    clock::Clock,
    services::{JobEntry, JobStatus, Pools, Surface, failure, millis},
};

pub(crate) use self::{
    explain::explain,
    session::{budget_headers, session},
};

/// How long a client waits before it asks for the next task, when there is nothing to wait for.
const BACKOFF_MS: u64 = 0;

pub(crate) fn admission(id: JobId, granted: &Admission) -> WireAdmission {
    let (id, start) = (id.to_string(), millis(granted.predicted_start));
    let sse = format!("/v2/tasks/{id}/events");
    WireAdmission {
        task_id: id.clone(),
        queue_position: granted.queue_position,
        predicted_start_ms: start,
        predicted_start_p90_ms: millis(granted.predicted_start_p90),
        backoff_ms: if granted.queue_position == 0 { BACKOFF_MS } else { start },
        streams: Streams { sse_verbose: format!("{sse}?verbose=true"), sse },
        preparation: Preparation::default(),
        job_id: id,
    }
}

/// A task with its place in the queue, and with its text once it has ended.
pub(crate) fn task(entry: &JobEntry, position: Option<u32>, clock: Clock) -> TaskView {
    let mut view = task_summary(entry, clock);
    view.queue_position = position;
    if view.ended_at.is_none() {
        return view;
    }
    match entry.facts.workload() {
        Workload::Completion => view.text = text(entry),
        Workload::Embedding | Workload::Rerank => {
            let mut end: Option<EndEvent> = entry.log.last_event();
            view.embeddings = end.as_mut().and_then(|end| end.embeddings.take());
            view.ranking = end.and_then(|end| end.ranking);
        }
    }
    view
}

fn text(entry: &JobEntry) -> Option<String> {
    match entry.facts.surface {
        Surface::Native => entry.log.said().map(|said| said.text),
        Surface::OpenAi => openai::text_of(&entry.log.frames()?),
    }
}

/// A task as lists show it.
pub(crate) fn task_summary(entry: &JobEntry, clock: Clock) -> TaskView {
    let status = entry.status();
    let (facts, admission) = (&entry.facts, status.admission.as_ref());
    let end = status.ended.map(|(_, end)| end);
    let attempt = status.attempt.as_ref();
    let shown = |at: Timestamp| clock.rfc3339(at);
    TaskView {
        job_id: facts.id.to_string(),
        task_id: facts.id.to_string(),
        session_id: facts.session_id.to_string(),
        state: state(&status),
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
        usage: end.map(|_| usage(entry, &status)),
        finish_reason: end.and_then(|end| finish_reason(&status, end)),
        error: end.and_then(|end| failure(&status, end)),
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

pub(crate) fn pool(summary: &PoolSummary, pools: &Pools) -> PoolView {
    PoolView { pool_id: summary.pool.to_string(), health: pool_health(summary, pools) }
}

//= ORCH-2103
pub(crate) fn pool_health(summary: &PoolSummary, pools: &Pools) -> PoolHealth {
    let is = |readiness| summary.replicas.iter().any(|it| it.view.readiness == readiness);
    let replicas: Vec<_> = summary.replicas.iter().map(|it| replica(it, pools)).collect();
    let free_vram = summary.replicas.iter().filter_map(|it| it.view.vram_free_bytes);
    PoolHealth {
        live: is(Readiness::Ready) || is(Readiness::Draining),
        ready: is(Readiness::Ready),
        draining: is(Readiness::Draining) && !is(Readiness::Ready),
        last_error: replicas.iter().find_map(|it| it.last_error.clone()),
        metrics: PoolMetrics {
            slots_total: replicas.iter().map(|it| it.slots_total).sum(),
            slots_free: replicas.iter().map(|it| it.slots_free).sum(),
            queue_depth: summary.waiting.iter().sum(),
            vram_free_bytes: free_vram.reduce(u64::saturating_add),
        },
        replicas,
    }
}

fn replica(it: &ReplicaSummary, pools: &Pools) -> ReplicaView {
    let heard = pools.heard(&it.view.pool, &it.view.replica);
    let ready = it.view.readiness == Readiness::Ready;
    ReplicaView {
        replica_id: it.view.replica.to_string(),
        engine: it.view.engine.to_string(),
        engine_version: heard.report.and_then(|report| report.version),
        models: it.view.models.iter().map(ToString::to_string).collect(),
        ready,
        slots_total: it.view.slots,
        slots_free: if ready { it.view.slots.saturating_sub(it.slots_used) } else { 0 },
        ctx_max: it.view.ctx_max,
        device_mask: match &it.view.device {
            Device::Unstated => None,
            Device::Cpu => Some("cpu".to_owned()),
            Device::Mask(mask) => Some(mask.to_string()),
        },
        last_error: heard.last_error,
    }
}

//= ORCH-3095
pub(crate) fn capabilities(summaries: &[PoolSummary], pools: &Pools) -> CapabilitiesView {
    let replicas = summaries.iter().flat_map(|summary| &summary.replicas);
    let ready = replicas.filter(|it| it.view.readiness == Readiness::Ready);
    let engines = ready.filter_map(|it| {
        let can = pools.capabilities(&it.view.pool, &it.view.replica)?;
        Some(EngineView {
            engine: it.view.engine.to_string(),
            engine_version: pools.version(&it.view.pool, &it.view.replica),
            pool_id: it.view.pool.to_string(),
            workloads: it.view.workloads.iter().map(|it| it.as_str().to_owned()).collect(),
            models: it.view.models.iter().map(ToString::to_string).collect(),
            ctx_max: it.view.ctx_max,
            max_concurrency: it.view.slots,
            deterministic: can.deterministic,
        })
    });
    CapabilitiesView {
        api_version: api_types::API_VERSION.to_owned(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        engines: engines.collect(),
    }
}
