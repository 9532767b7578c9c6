//! The table of metrics: names, kinds, labels, buckets and help all stand here, and nowhere else.
//!
//! A new metric is a row here, a field and a method in `metrics.rs`, and a row in `.specs/70_observability.md`.

/// What kind of metric a row is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// How many lines one set of labels takes.
    pub(super) const fn lines(self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            // The last bucket, which takes all, then the sum and the count.
            Self::Histogram(buckets) => buckets.len() + 3,
        }
    }
}

/// One metric.
#[derive(Debug)]
pub(super) struct Row {
    /// As it is served; counters end in `_total`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// From 0.1 ms, where an idle slot takes a job, to minutes of waiting.
const DISPATCH_MS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0,
    60_000.0, 300_000.0,
];
/// From 0.1 ms, on a disk that lies or has a battery, to seconds on one that is worn out.
const COMMIT_MS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0, 500.0, 2_500.0, 10_000.0];
const FIRST_TOKEN_MS: &[f64] =
    &[50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1_000.0, 1_500.0, 2_000.0, 3_000.0];
const DECODE_MS: &[f64] =
    &[250.0, 500.0, 1_000.0, 1_500.0, 2_000.0, 3_000.0, 4_000.0, 6_000.0, 8_000.0, 12_000.0];
/// From a choice that is none to a large pool.
const CANDIDATES: &[f64] = &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0];

const POOL: &[&str] = &["pool_id"];
const POOL_OUTCOME: &[&str] = &["pool_id", "outcome"];
const OUTCOME: &[&str] = &["outcome"];
const TASK: &[&str] = &["engine", "engine_version", "pool_id", "replica_id", "priority"];
const CANCEL: &[&str] = &["engine", "engine_version", "pool_id", "replica_id", "reason"];
const REPLICA: &[&str] = &["engine", "engine_version", "pool_id", "replica_id"];
const DEVICE: &[&str] = &["engine", "engine_version", "pool_id", "replica_id", "device"];
const LINE: &[&str] = &["engine", "engine_version", "pool_id", "priority"];

macro_rules! table {
    ($($row:ident: $kind:expr, $name:literal, $labels:expr, $help:literal;)+) => {
        $(pub(super) const $row: Row = Row { name: $name, kind: $kind, labels: $labels, help: $help };)+

        /// Every metric.
        #[cfg(test)]
        pub(super) const TABLE: &[Row] = &[$($row),+];
    };
}

use Kind::{Counter, Gauge, Histogram};

table! {
    ADMISSION_QUEUE_DEPTH: Gauge, "orchd_admission_queue_depth", POOL, "Jobs that wait, by pool";
    ADMISSION_ENQUEUED: Counter, "orchd_admission_enqueued_total", POOL_OUTCOME, "Jobs accepted";
    ADMISSION_REJECTED: Counter, "orchd_admission_rejected_total", &["pool_id", "reason"], "Jobs not accepted";
    TASKS_DISPATCHED: Counter, "orchd_tasks_dispatched_total", POOL_OUTCOME, "Attempts that ended, by outcome";
    DISPATCH_LATENCY: Histogram(DISPATCH_MS), "orchd_dispatch_latency_ms", POOL, "Milliseconds from admission to dispatch";
    HEALTH_CHECKS: Counter, "orchd_pool_health_checks_total", POOL_OUTCOME, "Looks at engines";
    NODES_ONLINE: Gauge, "orchd_nodes_online", &[], "Nodes that are heard of";
    POOLS_AVAILABLE: Gauge, "orchd_pools_available", &[], "Pools that take work";
    NODE_REGISTRATIONS: Counter, "orchd_node_registrations_total", OUTCOME, "Registrations of nodes";
    NODE_HEARTBEATS: Counter, "orchd_node_heartbeats_total", OUTCOME, "Heartbeats of nodes";
    STORE_COMMIT: Histogram(COMMIT_MS), "orchd_store_commit_ms", &[], "Milliseconds that a commit took";
    STORE_CHANGES: Counter, "orchd_store_changes_total", &[], "Changes that were kept";
    STORE_ERRORS: Counter, "orchd_store_errors_total", &[], "Commits that failed and are tried again";
    VERIFY_BYTES: Counter, "orchd_catalog_verify_bytes_total", &[], "Bytes of model files that were read";
    VERIFIED: Counter, "orchd_catalog_verifications_total", OUTCOME, "Verifications of models, by outcome";
    TRANSCRIPTS: Counter, "orchd_transcripts_total", OUTCOME, "Transcripts of ended tasks";
    TRACE_SPANS: Counter, "orchd_trace_spans_total", OUTCOME, "Spans of traces, by what became of them";
    AUTH_FAILURES: Counter, "orchd_auth_failures_total", &["reason"], "Requests that were not let in";

    TASKS_ENQUEUED: Counter, "tasks_enqueued_total", TASK, "Tasks accepted";
    TASKS_STARTED: Counter, "tasks_started_total", TASK, "Attempts that an engine was given";
    TASKS_CANCELED: Counter, "tasks_canceled_total", CANCEL, "Tasks that were taken back";
    TASKS_REJECTED: Counter, "tasks_rejected_total", &["engine", "reason"], "Tasks not accepted";
    QUEUE_DEPTH: Gauge, "queue_depth", LINE, "Tasks that wait, by class";
    KV_CACHE_USAGE: Gauge, "kv_cache_usage_ratio", REPLICA, "How full an engine's cache is, from 0 to 1";
    GPU_UTILIZATION: Gauge, "gpu_utilization", DEVICE, "How busy a replica's devices are, from 0 to 1";
    VRAM_USED: Gauge, "vram_used_bytes", DEVICE, "Memory in use on a replica's devices";
    FIRST_TOKEN: Histogram(FIRST_TOKEN_MS), "latency_first_token_ms", LINE, "Milliseconds from dispatch to the first token";
    DECODE: Histogram(DECODE_MS), "latency_decode_ms", LINE, "Milliseconds that a completed task was generated for";
    TOKENS_IN: Counter, "tokens_in_total", REPLICA, "Tokens of prompts, as engines count them";
    TOKENS_OUT: Counter, "tokens_out_total", REPLICA, "Tokens that were generated";
    BACKPRESSURE: Counter, "admission_backpressure_events_total", &["engine", "policy"], "Full queues that cost a task its place";
    CATALOG_VERIFICATIONS: Counter, "catalog_verifications_total", &["result", "reason", "engine"], "Verifications of models, by reason";
    MODEL_STATE: Gauge, "model_state", &["model_id", "state"], "1 for the state that a model of the catalog is in";
    PLACEMENT_DECISIONS: Counter, "placement_decisions_total", &["outcome", "pinned", "fallback"], "Choices of a replica";
    PLACEMENT_CANDIDATES: Histogram(CANDIDATES), "placement_candidates_considered", &[], "Replicas that were looked at for a choice";
}
