//! Every metric of the agent: one table of names, and one method per thing that happens.
//!
//! Labels come from configuration and from closed lists only.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{gpu::Reading, machine::PHASES};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool_id: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    pool_id: Arc<str>,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    pool_id: Arc<str>,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    pool_id: Arc<str>,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabel {
    device_id: u32,
}

type Counters<L> = Family<L, Counter<u64, AtomicU64>>;
type Gauges<L> = Family<L, Gauge<i64, AtomicI64>>;

/// All metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    ready: Gauges<PoolLabel>,
    state: Gauges<StateLabel>,
    starts: Counters<PoolLabel>,
    restarts: Counters<PoolLabel>,
    exits: Counters<ReasonLabel>,
    probes: Counters<ReasonLabel>,
    operations: Counters<OperationLabel>,
    registrations: Counters<OutcomeLabel>,
    heartbeats: Counters<OutcomeLabel>,
    trace_spans: Counters<OutcomeLabel>,
    vram_free: Gauges<DeviceLabel>,
    vram_total: Gauges<DeviceLabel>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut it = Self {
            registry: Registry::with_prefix("pool_managerd"),
            ready: Family::default(),
            state: Family::default(),
            starts: Family::default(),
            restarts: Family::default(),
            exits: Family::default(),
            probes: Family::default(),
            operations: Family::default(),
            registrations: Family::default(),
            heartbeats: Family::default(),
            trace_spans: Family::default(),
            vram_free: Family::default(),
            vram_total: Family::default(),
        };
        // The library appends `_total` to counters.
        let all = &mut it.registry;
        all.register("pool_ready", "Whether the pool takes work", it.ready.clone());
        all.register("pool_state", "1 for the state that the pool's engine is in", it.state.clone());
        all.register("engine_starts", "Engines started", it.starts.clone());
        all.register("engine_restarts", "Engines lost, and started again or given up", it.restarts.clone());
        all.register("engine_exits", "Ends of engines, by reason", it.exits.clone());
        all.register("probes", "Looks at engines, by outcome", it.probes.clone());
        all.register("operations", "Drains, reloads and purges that ended", it.operations.clone());
        all.register("registrations", "Registrations at the control plane", it.registrations.clone());
        all.register("heartbeats", "Heartbeats to the control plane", it.heartbeats.clone());
        all.register("trace_spans", "Spans of traces, by what became of them", it.trace_spans.clone());
        all.register("vram_free_bytes", "Free memory of a GPU", it.vram_free.clone());
        all.register("vram_total_bytes", "All memory of a GPU", it.vram_total.clone());
        it
    }

    /// The text that a scraper gets.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    /// So many spans were exported, failed to be, or were dropped.
    pub(crate) fn trace_spans(&self, outcome: &'static str, count: usize) {
        self.trace_spans.get_or_create(&OutcomeLabel { outcome }).inc_by(count as u64);
    }

    /// Where a pool stands.
    pub(crate) fn pool(&self, pool: &Arc<str>, now: &'static str) {
        let is_ready = i64::from(now == "ready");
        self.ready.get_or_create(&PoolLabel { pool_id: Arc::clone(pool) }).set(is_ready);
        for state in PHASES {
            let label = StateLabel { pool_id: Arc::clone(pool), state };
            self.state.get_or_create(&label).set(i64::from(state == now));
        }
    }

    pub(crate) fn started(&self, pool: &Arc<str>) {
        self.starts.get_or_create(&PoolLabel { pool_id: Arc::clone(pool) }).inc();
    }

    pub(crate) fn restarted(&self, pool: &Arc<str>) {
        self.restarts.get_or_create(&PoolLabel { pool_id: Arc::clone(pool) }).inc();
    }

    pub(crate) fn exited(&self, pool: &Arc<str>, reason: &'static str) {
        self.exits.get_or_create(&ReasonLabel { pool_id: Arc::clone(pool), reason }).inc();
    }

    pub(crate) fn probed(&self, pool: &Arc<str>, reason: &'static str) {
        self.probes.get_or_create(&ReasonLabel { pool_id: Arc::clone(pool), reason }).inc();
    }

    pub(crate) fn operated(&self, pool: &Arc<str>, operation: &'static str, outcome: &'static str) {
        let label = OperationLabel { pool_id: Arc::clone(pool), operation, outcome };
        self.operations.get_or_create(&label).inc();
    }

    pub(crate) fn registered(&self, outcome: &'static str) {
        self.registrations.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn beat(&self, outcome: &'static str) {
        self.heartbeats.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn gpus(&self, readings: &[Reading]) {
        for reading in readings {
            let label = DeviceLabel { device_id: reading.index };
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            self.vram_free.get_or_create(&label).set(bytes(reading.free_bytes));
            self.vram_total.get_or_create(&label).set(bytes(reading.total_bytes));
        }
    }
}
