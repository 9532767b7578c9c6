//! Every metric of the product: one table of names, and one method per thing that happens.
//!
//! Labels come from configuration and from closed lists only; nothing that a client chose is ever one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use catalog_core::{Outcome as Verdict, Untrusted};
use orchestrator_core::{Admission, Outcome, PoolId, RejectReason, Rejection, SessionRefusal};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::services::Unfit;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool_id: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    pool_id: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    pool_id: Arc<str>,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    reason: &'static str,
}

type Counters<L> = Family<L, Counter<u64, AtomicU64>>;

/// The label value of what concerns no pool.
const NO_POOL: &str = "none";
/// From 0.1 ms, where an idle slot takes a job, to minutes of waiting.
const DISPATCH_BUCKETS_MS: [f64; 17] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0,
    60_000.0, 300_000.0,
];

/// From 0.1 ms, on a disk that lies or has a battery, to seconds on one that is worn out.
const COMMIT_BUCKETS_MS: [f64; 12] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 100.0, 500.0, 2_500.0, 10_000.0];

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    queue_depth: Family<PoolLabel, Gauge<i64, AtomicI64>>,
    enqueued: Counters<OutcomeLabel>,
    rejected: Counters<ReasonLabel>,
    dispatched: Counters<OutcomeLabel>,
    dispatch_latency: Family<PoolLabel, Histogram, fn() -> Histogram>,
    health_checks: Counters<OutcomeLabel>,
    commit: Histogram,
    changes: Counter<u64, AtomicU64>,
    not_kept: Counter<u64, AtomicU64>,
    model_bytes_read: Counter<u64, AtomicU64>,
    models_verified: Counters<VerdictLabel>,
    transcripts: Counters<VerdictLabel>,
    auth_failures: Counters<CauseLabel>,
}

impl Metrics {
    //= ORCH-3028
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let queue_depth = Family::default();
        let enqueued = Counters::default();
        let rejected = Counters::default();
        let dispatched = Counters::default();
        let latency: fn() -> Histogram = || Histogram::new(DISPATCH_BUCKETS_MS);
        let dispatch_latency = Family::new_with_constructor(latency);
        let health_checks = Counters::default();
        // The library appends `_total` to counters.
        registry.register("orchd_admission_queue_depth", "Jobs that wait, by pool", queue_depth.clone());
        registry.register("orchd_admission_enqueued", "Jobs accepted", enqueued.clone());
        registry.register("orchd_admission_rejected", "Jobs not accepted", rejected.clone());
        registry.register("orchd_tasks_dispatched", "Attempts that ended, by outcome", dispatched.clone());
        registry.register(
            "orchd_dispatch_latency_ms",
            "Milliseconds from admission to dispatch",
            dispatch_latency.clone(),
        );
        registry.register("orchd_pool_health_checks", "Looks at engines", health_checks.clone());
        let commit = Histogram::new(COMMIT_BUCKETS_MS);
        let (changes, not_kept) = (Counter::default(), Counter::default());
        registry.register("orchd_store_commit_ms", "Milliseconds that a commit took", commit.clone());
        registry.register("orchd_store_changes", "Changes that were kept", changes.clone());
        registry.register("orchd_store_errors", "Commits that failed and are tried again", not_kept.clone());
        let (model_bytes_read, models_verified) = models(&mut registry);
        let transcripts = Counters::default();
        registry.register("orchd_transcripts", "Transcripts of ended tasks", transcripts.clone());
        let auth_failures = Counters::default();
        registry.register("orchd_auth_failures", "Requests that were not let in", auth_failures.clone());
        Self {
            registry,
            queue_depth,
            enqueued,
            rejected,
            dispatched,
            dispatch_latency,
            health_checks,
            commit,
            changes,
            not_kept,
            model_bytes_read,
            models_verified,
            transcripts,
            auth_failures,
        }
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

    pub(crate) fn queue_depth(&self, pool: &PoolId, waiting: u32) {
        self.queue_depth.get_or_create(&PoolLabel { pool_id: label(pool) }).set(i64::from(waiting));
    }

    pub(crate) fn enqueued(&self, admission: &Admission) {
        let outcome = if admission.queue_position == 0 && admission.predicted_start.is_zero() {
            "dispatched"
        } else {
            "queued"
        };
        self.enqueued.get_or_create(&OutcomeLabel { pool_id: label(&admission.pool), outcome }).inc();
    }

    pub(crate) fn rejected(&self, rejection: &Rejection) {
        let pool_id = rejection.pool.as_ref().map_or_else(|| NO_POOL.into(), label);
        self.rejected.get_or_create(&ReasonLabel { pool_id, reason: reason(&rejection.reason) }).inc();
    }

    pub(crate) fn committed(&self, changes: usize, took: Duration) {
        self.commit.observe(took.as_secs_f64() * 1e3);
        self.changes.inc_by(changes as u64);
    }

    pub(crate) fn commit_failed(&self) {
        self.not_kept.inc();
    }

    /// A task was refused because it could not be kept.
    pub(crate) fn not_kept(&self) {
        self.rejected.get_or_create(&ReasonLabel { pool_id: NO_POOL.into(), reason: "storage" }).inc();
    }

    pub(crate) fn overloaded(&self) {
        self.rejected.get_or_create(&ReasonLabel { pool_id: NO_POOL.into(), reason: "overloaded" }).inc();
    }

    pub(crate) fn dispatched(&self, pool: &PoolId, waited: Duration) {
        let pool_id = label(pool);
        self.dispatch_latency.get_or_create(&PoolLabel { pool_id }).observe(waited.as_secs_f64() * 1e3);
    }

    pub(crate) fn attempt_ended(&self, pool: &PoolId, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Completed => "completed",
            Outcome::Aborted => "aborted",
            Outcome::Lost { .. } => "lost",
            Outcome::TimedOut { .. } => "timed_out",
            Outcome::Busy { .. } => "busy",
            Outcome::Refused => "refused",
        };
        self.dispatched.get_or_create(&OutcomeLabel { pool_id: label(pool), outcome }).inc();
    }

    pub(crate) fn health_checked(&self, pool: &PoolId, answered: Answered) {
        let outcome = match answered {
            Answered::Yes => "ok",
            Answered::No => "error",
        };
        self.health_checks.get_or_create(&OutcomeLabel { pool_id: label(pool), outcome }).inc();
    }
}

impl Metrics {
    /// A part of a model's file was read.
    pub(crate) fn model_bytes_read(&self, bytes: u64) {
        self.model_bytes_read.inc_by(bytes);
    }

    pub(crate) fn model_verified(&self, found: Option<&Verdict>) {
        let outcome = match found {
            Some(Verdict::Pass) => "pass",
            Some(Verdict::Warn(_)) => "warn",
            Some(Verdict::Fail(_)) => "fail",
            None => return,
        };
        self.models_verified.get_or_create(&VerdictLabel { outcome }).inc();
    }

    /// A transcript was stored, failed, or was dropped because too many waited.
    pub(crate) fn transcript(&self, outcome: &'static str) {
        self.transcripts.get_or_create(&VerdictLabel { outcome }).inc();
    }

    /// A request was not let in; `reason` is one of a closed list.
    pub(crate) fn auth_failed(&self, reason: &'static str) {
        self.auth_failures.get_or_create(&CauseLabel { reason }).inc();
    }

    /// A task was refused for its model.
    pub(crate) fn model_refused(&self, unfit: &Unfit) {
        let reason = match unfit {
            Unfit::Untrusted(Untrusted::Retired) => "model_retired",
            Unfit::NotInCatalog | Unfit::Untrusted(_) => "untrusted_artifact",
        };
        self.rejected.get_or_create(&ReasonLabel { pool_id: NO_POOL.into(), reason }).inc();
    }
}

/// What is counted of the catalog.
fn models(registry: &mut Registry) -> (Counter<u64, AtomicU64>, Counters<VerdictLabel>) {
    let (bytes, verified) = (Counter::default(), Counters::default());
    registry.register("orchd_catalog_verify_bytes", "Bytes of model files that were read", bytes.clone());
    registry.register("orchd_catalog_verifications", "Verifications of models, by outcome", verified.clone());
    (bytes, verified)
}

/// Whether an engine answered a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    Yes,
    No,
}

fn label(pool: &PoolId) -> Arc<str> {
    pool.as_str().into()
}

/// The closed list of reasons.
fn reason(reason: &RejectReason) -> &'static str {
    match reason {
        RejectReason::NoPool => "no_pool",
        RejectReason::UnknownPin => "unknown_pin",
        RejectReason::NoSuchModel => "model_not_available",
        RejectReason::NoSuchWorkload => "workload_not_available",
        RejectReason::Context { .. } => "context",
        RejectReason::Device => "device",
        RejectReason::Unready => "unready",
        RejectReason::Unreachable => "unreachable",
        RejectReason::Deadline { .. } => "deadline",
        RejectReason::QueueFull => "queue_full",
        RejectReason::NothingToDrop => "nothing_to_drop",
        RejectReason::DuplicateId => "duplicate_id",
        RejectReason::Poisoned => "poisoned",
        RejectReason::Session(SessionRefusal::Turns(_)) => "session_turns",
        RejectReason::Session(SessionRefusal::TooMany) => "sessions",
        RejectReason::Session(_) => "session_budget",
        RejectReason::ShuttingDown => "shutting_down",
    }
}
