//! From the server's nouns to answers.

mod explain;
mod model;
mod node;
mod session;

use api_types::{
    Admission as WireAdmission, CapabilitiesView, EndEvent, EngineView, PoolHealth, PoolMetrics, PoolView,
    Preparation, ReplicaView, Streams, TaskView,
};
use orchestrator_core::{Admission, Device, JobId, PoolSummary, Readiness, ReplicaSummary, Workload};

use super::openai;
use crate::{
    clock::Clock,
    relay::JobLog,
    services::{Fleet, JobEntry, Pools, Surface, millis},
};

pub(crate) use crate::services::{state, task_summary};

pub(crate) use self::{
    explain::explain,
    model::{model, verification},
    node::{availability, node},
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
pub(crate) fn task(entry: &JobEntry, log: &JobLog, position: Option<u32>, clock: Clock) -> TaskView {
    let mut view = task_summary(entry, clock);
    view.queue_position = position;
    if view.ended_at.is_none() {
        return view;
    }
    match entry.facts.workload() {
        Workload::Completion => view.text = text(entry, log),
        Workload::Embedding | Workload::Rerank => {
            let mut end: Option<EndEvent> = log.last_event();
            view.embeddings = end.as_mut().and_then(|end| end.embeddings.take());
            view.ranking = end.and_then(|end| end.ranking);
        }
    }
    view
}

fn text(entry: &JobEntry, log: &JobLog) -> Option<String> {
    match entry.facts.surface {
        Surface::Native => log.said().map(|said| said.text),
        Surface::OpenAi => openai::text_of(&log.frames()?),
    }
}

pub(crate) fn pool(summary: &PoolSummary, fleet: &Fleet) -> PoolView {
    PoolView { pool_id: summary.pool.to_string(), health: pool_health(summary, fleet) }
}

//= ORCH-2103
pub(crate) fn pool_health(summary: &PoolSummary, fleet: &Fleet) -> PoolHealth {
    let is = |readiness| summary.replicas.iter().any(|it| it.view.readiness == readiness);
    let replicas: Vec<_> = summary.replicas.iter().map(|it| replica(it, &fleet.pools)).collect();
    let ready = replicas.iter().any(|it| it.ready && !it.draining);
    let free_vram = summary.replicas.iter().filter_map(|it| it.view.vram_free_bytes);
    PoolHealth {
        live: is(Readiness::Ready) || is(Readiness::Draining),
        ready,
        draining: summary.closed.is_some() || (replicas.iter().any(|it| it.draining) && !ready),
        last_error: replicas.iter().find_map(|it| it.last_error.clone()),
        operation: fleet.lifecycle.last(&summary.pool),
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
    let draining = it.closed.is_some() || it.view.readiness == Readiness::Draining;
    let ready = it.view.readiness == Readiness::Ready && !draining;
    ReplicaView {
        replica_id: it.view.replica.to_string(),
        engine: it.view.engine.to_string(),
        engine_version: heard.report.and_then(|report| report.version),
        models: it.view.models.iter().map(ToString::to_string).collect(),
        ready,
        draining,
        node_id: it.view.node.as_ref().map(ToString::to_string),
        vram_free_bytes: it.view.vram_free_bytes,
        vram_total_bytes: it.view.vram_total_bytes,
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
