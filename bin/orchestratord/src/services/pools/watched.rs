//! One replica: what is said of it, what its engine answered, and what the scheduler gets to know of both.

use std::sync::Arc;

use adapter_api::{AdapterError, Capabilities, EngineReport, WorkerAdapter};
use catalog_core::ModelRef;
use orchestrator_core::{Device, Loaded, NodeId, PoolId, Readiness, ReplicaId, ReplicaView, Workload};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connect::Wanted;
use crate::metrics::{ReplicaSeen, Served};

/// A replica as whoever answers for it describes it: the operator, or its node.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// A further name for its model.
    pub(crate) model: Option<String>,
    /// These override what the engine says.
    pub(crate) slots: Option<u32>,
    pub(crate) ctx_max: Option<u32>,
    pub(crate) device: Device,
    /// What a million tokens cost, in millionths of a unit.
    pub(crate) price: u64,
    /// What only a node can say.
    pub(crate) by_node: Option<ByNode>,
}

/// What a node says of a replica.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ByNode {
    pub(crate) node: NodeId,
    pub(crate) standing: Standing,
    pub(crate) version: Option<String>,
    pub(crate) vram_free_bytes: Option<u64>,
    pub(crate) vram_total_bytes: Option<u64>,
    /// How busy its devices are, from 0 to 1.
    pub(crate) gpu_utilization: Option<f64>,
    /// What is wrong, while something is.
    pub(crate) problem: Option<String>,
}

/// How a replica stands by its node's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Ready,
    Draining,
    NotReady,
    /// Its node is silent.
    Offline,
    /// It may not be used, whatever its node says.
    Barred,
}

/// The way to an engine.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) adapter: Arc<dyn WorkerAdapter>,
    /// An answer of an engine that was left is told by this from its successor's.
    pub(crate) generation: u64,
}

/// What was last heard of a replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) report: Option<EngineReport>,
    /// What went wrong last; gone when it answers again.
    pub(crate) last_error: Option<String>,
}

/// A replica that is watched.
pub(crate) struct Watched {
    pub(crate) pool: PoolId,
    pub(crate) replica: ReplicaId,
    state: Mutex<State>,
    pub(super) look_now: Notify,
    pub(super) gone: CancellationToken,
}

/// What is known of a replica.
pub(crate) struct State {
    pub(crate) described: Described,
    /// The engine that its node has named.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) way: Option<Way>,
    /// Grows whenever the way that there was is left.
    pub(crate) generation: u64,
    pub(crate) heard: Heard,
    /// Its engine is being looked at because something went wrong: until then its node's word is not enough.
    pub(crate) in_doubt: bool,
}

impl State {
    /// The engine that there was is not asked any more, and what it said and still says counts for nothing.
    pub(super) fn leave(&mut self) {
        self.way = None;
        self.heard = Heard::default();
        self.generation += 1;
    }

    /// The engine's version, if it or its node told one.
    pub(super) fn version(&self) -> Option<String> {
        let by_node = self.described.by_node.as_ref().and_then(|it| it.version.clone());
        by_node.or_else(|| self.heard.report.as_ref()?.version.clone())
    }

    pub(super) fn served(&self) -> Served {
        let engine = self.way.as_ref().map(|way| way.adapter.capabilities().engine);
        let named = || self.wanted.as_ref().map(|wanted| wanted.engine.as_str());
        Served { engine: engine.or_else(named), version: self.version() }
    }

    /// Whether it may get work: its node's word binds, and so does what its engine answers to us.
    pub(super) fn readiness(&self) -> Readiness {
        let answered = match (&self.heard.report, &self.heard.last_error) {
            (None, _) => Readiness::Unseen,
            (Some(_), None) => Readiness::Ready,
            (Some(_), Some(_)) => Readiness::Unreachable,
        };
        let Some(by_node) = &self.described.by_node else { return answered };
        match (by_node.standing, answered) {
            (Standing::Barred, _) => Readiness::Barred,
            (Standing::Offline, _) => Readiness::Offline,
            (_, Readiness::Unseen) => Readiness::Unseen,
            (Standing::NotReady, _) | (_, Readiness::Unreachable) => Readiness::Unreachable,
            (Standing::Draining, _) => Readiness::Draining,
            (Standing::Ready, _) => Readiness::Ready,
        }
    }
}

impl Watched {
    pub(super) fn new(pool: PoolId, replica: ReplicaId, described: Described) -> Self {
        let heard = Heard::default();
        let state = State { described, wanted: None, way: None, generation: 0, heard, in_doubt: false };
        let (look_now, gone) = (Notify::new(), CancellationToken::new());
        Self { pool, replica, state: Mutex::new(state), look_now, gone }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What the scheduler gets to know of it.
    pub(super) fn view(&self, state: &State) -> ReplicaView {
        let State { described, heard, way, .. } = state;
        let report = heard.report.as_ref();
        let by_node = described.by_node.as_ref();
        let told = report.map(|report| report.models.as_slice()).unwrap_or_default();
        let mut models: Vec<_> = described.model.iter().chain(told).map(|name| called(name)).collect();
        models.dedup();
        let can = way.as_ref().map(|way| way.adapter.capabilities());
        let able = can.map(|can| can.workloads).unwrap_or_default();
        let workloads = report.and_then(|report| report.workloads.as_deref()).unwrap_or(able);
        let free = by_node.and_then(|it| it.vram_free_bytes);
        ReplicaView {
            pool: self.pool.clone(),
            replica: self.replica.clone(),
            node: by_node.map(|it| it.node.clone()),
            engine: can.map_or("unknown", |can| can.engine).into(),
            models,
            workloads: workloads.iter().map(|it| workload(*it)).collect(),
            slots: described.slots.or(report.and_then(|report| report.slots_total)).unwrap_or(1),
            ctx_max: described.ctx_max.or(report.and_then(|report| report.ctx_max)),
            vram_free_bytes: free.or(report.and_then(|report| report.vram_free_bytes)),
            vram_total_bytes: by_node.and_then(|it| it.vram_total_bytes),
            loaded: Loaded::Yes,
            device: described.device.clone(),
            readiness: state.readiness(),
            price: described.price,
        }
    }
}

impl Watched {
    /// What is known of it now: numbers of before a silence are not shown.
    pub(super) fn seen(&self) -> ReplicaSeen {
        let state = self.state();
        let State { described, heard, .. } = &*state;
        let by_node = described.by_node.as_ref().filter(|it| it.standing != Standing::Offline);
        let report = heard.report.as_ref().filter(|_| heard.last_error.is_none());
        ReplicaSeen {
            pool: self.pool.clone(),
            replica: self.replica.clone(),
            served: state.served(),
            device: match &described.device {
                Device::Unstated => None,
                Device::Cpu => Some("cpu".into()),
                Device::Mask(mask) => Some(Arc::clone(mask)),
            },
            vram_used_bytes: by_node.and_then(|it| it.vram_total_bytes?.checked_sub(it.vram_free_bytes?)),
            gpu_utilization: by_node.and_then(|it| it.gpu_utilization),
            kv_cache_usage: report
                .and_then(|it| it.kv_cache_per_mille)
                .map(|per_mille| f64::from(per_mille) / 1e3),
        }
    }

    /// Takes in an answer, and logs when it is another one than before.
    pub(super) fn hear(
        &self,
        state: &mut State,
        can: Capabilities,
        result: Result<EngineReport, AdapterError>,
    ) {
        let (pool_id, replica_id, engine) = (&self.pool, &self.replica, can.engine);
        let heard = &mut state.heard;
        state.in_doubt = false;
        match result {
            Ok(report) => {
                if heard.report.is_none() || heard.last_error.is_some() {
                    let engine_version = report.version.as_deref().unwrap_or("unknown");
                    info!(target: "orchestratord::pools", %pool_id, %replica_id, engine, engine_version,
                        slots_total = report.slots_total, ctx_max = report.ctx_max, "pool ready");
                }
                *heard = Heard { report: Some(report), last_error: None };
            }
            Err(error) => self.failed(heard, engine, error.to_string()),
        }
    }

    /// The engine, or the way to it, is not as it must be.
    pub(super) fn failed(&self, heard: &mut Heard, engine: &str, error: String) {
        let (pool_id, replica_id) = (&self.pool, &self.replica);
        if heard.last_error.as_ref() != Some(&error) {
            warn!(target: "orchestratord::pools", %pool_id, %replica_id, engine, error, "pool not ready");
        }
        heard.last_error = Some(error);
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
