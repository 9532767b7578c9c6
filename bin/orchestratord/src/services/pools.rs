//! The pools' engines: looked at regularly, and at once when a stream of one broke.

use std::{sync::Arc, time::Duration};

use adapter_api::{AdapterError, EngineReport, WorkerAdapter};
use catalog_core::ModelRef;
use orchestrator_core::{Device, Event, Loaded, PoolId, Readiness, ReplicaId, ReplicaView, Workload};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};
use tracing::{info, warn};

use super::handle::SchedulerHandle;
use crate::metrics::{Answered, Metrics};

/// A replica as the operator described it.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaConfig {
    pub(crate) pool: PoolId,
    pub(crate) replica: ReplicaId,
    pub(crate) adapter: Arc<dyn WorkerAdapter>,
    /// A further name for its model.
    pub(crate) model: Option<String>,
    /// Overrides what the engine says.
    pub(crate) slots: Option<u32>,
    pub(crate) ctx_max: Option<u32>,
    pub(crate) device: Device,
    /// What a million tokens cost, in millionths of a unit.
    pub(crate) price: u64,
}

/// All replicas and what was last heard of them.
#[derive(Debug)]
pub(crate) struct Pools {
    replicas: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    config: ReplicaConfig,
    heard: Mutex<Heard>,
    look_now: Notify,
}

/// What was last heard of a replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) report: Option<EngineReport>,
    /// What went wrong last; gone when it answers again.
    pub(crate) last_error: Option<String>,
}

impl Pools {
    pub(crate) fn new(replicas: Vec<ReplicaConfig>) -> Self {
        let watch = |config| Watched { config, heard: Mutex::default(), look_now: Notify::new() };
        Self { replicas: replicas.into_iter().map(watch).collect() }
    }

    /// Has a replica looked at without waiting for its turn.
    pub(crate) fn look_now(&self, pool: &PoolId, replica: &ReplicaId) {
        if let Some(watched) = self.find(pool, replica) {
            watched.look_now.notify_one();
        }
    }

    /// What was last heard of a replica.
    pub(crate) fn heard(&self, pool: &PoolId, replica: &ReplicaId) -> Heard {
        self.find(pool, replica).map(|watched| watched.heard.lock().clone()).unwrap_or_default()
    }

    /// The engine's version, if it told one.
    pub(crate) fn version(&self, pool: &PoolId, replica: &ReplicaId) -> Option<String> {
        self.find(pool, replica)?.heard.lock().report.as_ref()?.version.clone()
    }

    /// What the engine of a replica can do.
    pub(crate) fn capabilities(
        &self,
        pool: &PoolId,
        replica: &ReplicaId,
    ) -> Option<adapter_api::Capabilities> {
        Some(self.find(pool, replica)?.config.adapter.capabilities())
    }

    fn find(&self, pool: &PoolId, replica: &ReplicaId) -> Option<&Watched> {
        self.replicas.iter().find(|it| it.config.pool == *pool && it.config.replica == *replica)
    }

    /// Makes every replica known, before the first look at it.
    pub(crate) fn announce(&self, scheduler: &SchedulerHandle) {
        for watched in &self.replicas {
            scheduler.tell(Event::ReplicaSeen(view(&watched.config, &Heard::default())));
        }
    }

    /// What looks at the replicas, each of them for ever.
    pub(crate) fn watches(
        self: &Arc<Self>,
        scheduler: &SchedulerHandle,
        metrics: &Arc<Metrics>,
        interval: Duration,
    ) -> impl Iterator<Item = impl Future<Output = ()> + Send + use<>> {
        let watch = move |index| {
            let (scheduler, metrics) = (scheduler.clone(), Arc::clone(metrics));
            Arc::clone(self).watch(index, scheduler, metrics, interval)
        };
        (0..self.replicas.len()).map(watch)
    }

    /// Looks at one replica for ever: once in each interval, and whenever asked to.
    async fn watch(
        self: Arc<Self>,
        index: usize,
        scheduler: SchedulerHandle,
        metrics: Arc<Metrics>,
        interval: Duration,
    ) {
        let Some(watched) = self.replicas.get(index) else { return };
        loop {
            let result = watched.config.adapter.probe().await;
            let answered = if result.is_ok() { Answered::Yes } else { Answered::No };
            metrics.health_checked(&watched.config.pool, answered);
            let heard = watched.hear(result);
            scheduler.tell(Event::ReplicaSeen(view(&watched.config, &heard)));
            tokio::select! {
                () = sleep(interval) => {}
                () = watched.look_now.notified() => {}
            }
        }
    }
}

impl Watched {
    /// Takes in an answer, and logs when it is another one than before.
    fn hear(&self, result: Result<EngineReport, AdapterError>) -> Heard {
        let (pool_id, replica_id) = (&self.config.pool, &self.config.replica);
        let engine = self.config.adapter.capabilities().engine;
        let mut heard = self.heard.lock();
        match result {
            Ok(report) => {
                if heard.report.is_none() || heard.last_error.is_some() {
                    let engine_version = report.version.as_deref().unwrap_or("unknown");
                    info!(target: "orchestratord::pools", %pool_id, %replica_id, engine, engine_version,
                        slots_total = report.slots_total, ctx_max = report.ctx_max, "pool ready");
                }
                *heard = Heard { report: Some(report), last_error: None };
            }
            Err(error) => {
                let error = error.to_string();
                if heard.last_error.as_ref() != Some(&error) {
                    warn!(target: "orchestratord::pools", %pool_id, %replica_id, engine, error, "pool not ready");
                }
                heard.last_error = Some(error);
            }
        }
        heard.clone()
    }
}

/// What the scheduler gets to know of a replica.
fn view(config: &ReplicaConfig, heard: &Heard) -> ReplicaView {
    let report = heard.report.as_ref();
    let readiness = match (report, &heard.last_error) {
        (None, _) => Readiness::Unseen,
        (Some(_), None) => Readiness::Ready,
        (Some(_), Some(_)) => Readiness::Unreachable,
    };
    let told = report.map(|report| report.models.as_slice()).unwrap_or_default();
    let mut models: Vec<_> = config.model.iter().chain(told).map(|name| called(name)).collect();
    models.dedup();
    let can = config.adapter.capabilities();
    let workloads = report.and_then(|report| report.workloads.as_deref()).unwrap_or(can.workloads);
    ReplicaView {
        pool: config.pool.clone(),
        replica: config.replica.clone(),
        node: None,
        engine: can.engine.into(),
        models,
        workloads: workloads.iter().map(|it| workload(*it)).collect(),
        slots: config.slots.or(report.and_then(|report| report.slots_total)).unwrap_or(1),
        ctx_max: config.ctx_max.or(report.and_then(|report| report.ctx_max)),
        vram_free_bytes: report.and_then(|report| report.vram_free_bytes),
        vram_total_bytes: None,
        loaded: Loaded::Yes,
        device: config.device.clone(),
        readiness,
        price: config.price,
    }
}

/// A model's name as requests are compared with it.
fn called(name: &str) -> Arc<str> {
    name.parse::<ModelRef>().map_or_else(|_unusual| name.into(), |known| Arc::clone(known.name()))
}

/// The core's word for a kind of work.
pub(crate) fn workload(seam: adapter_api::Workload) -> Workload {
    match seam {
        adapter_api::Workload::Completion => Workload::Completion,
        adapter_api::Workload::Embedding => Workload::Embedding,
        adapter_api::Workload::Rerank => Workload::Rerank,
    }
}
