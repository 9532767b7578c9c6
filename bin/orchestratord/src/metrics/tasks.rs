//! What is counted of tasks: coming in, placed, begun, ended.

use std::{sync::Arc, time::Duration};

use catalog_core::Untrusted;
use orchestrator_core::{
    Admission, Affinity, Assignment, Outcome, PoolId, Priority, RejectReason, Rejection, ReplicaId,
    Requirements, Rule, SessionRefusal,
};
use prometheus_client::metrics::histogram::Histogram;

use super::{Build, Counter, Metrics, NONE, Series, Text, UNKNOWN, histogram, name, series::Known, table};
use crate::services::Unfit;

/// The replica of a task for which none was chosen yet.
const ANY: &str = "any";

/// What is counted of tasks.
pub(super) struct Tasks {
    enqueued: Series<Counter>,
    admitted: Series<Counter>,
    started: Series<Counter>,
    canceled: Series<Counter>,
    rejected: Series<Counter>,
    not_admitted: Series<Counter>,
    backpressure: Series<Counter>,
    dispatched: Series<Counter>,
    dispatch_latency: Series<Histogram>,
    first_token: Series<Histogram>,
    decode: Series<Histogram>,
    tokens_in: Series<Counter>,
    tokens_out: Series<Counter>,
    decisions: Series<Counter>,
    candidates: Histogram,
    arrivals: Known<(Place, Reception), [Counter; 2]>,
    attempts: Known<(Place, ReplicaId), Arc<AttemptSeries>>,
}

impl Tasks {
    pub(super) fn new(build: &mut Build) -> Self {
        Self {
            enqueued: build.counters(&table::TASKS_ENQUEUED),
            admitted: build.counters(&table::ADMISSION_ENQUEUED),
            started: build.counters(&table::TASKS_STARTED),
            canceled: build.counters(&table::TASKS_CANCELED),
            rejected: build.counters(&table::TASKS_REJECTED),
            not_admitted: build.counters(&table::ADMISSION_REJECTED),
            backpressure: build.counters(&table::BACKPRESSURE),
            dispatched: build.counters(&table::TASKS_DISPATCHED),
            dispatch_latency: build.histograms(&table::DISPATCH_LATENCY),
            first_token: build.histograms(&table::FIRST_TOKEN),
            decode: build.histograms(&table::DECODE),
            tokens_in: build.counters(&table::TOKENS_IN),
            tokens_out: build.counters(&table::TOKENS_OUT),
            decisions: build.counters(&table::PLACEMENT_DECISIONS),
            candidates: build.add(&table::PLACEMENT_CANDIDATES, histogram(&table::PLACEMENT_CANDIDATES)),
            arrivals: Known::default(),
            attempts: Known::default(),
        }
    }

    /// The series of attempts on a replica.
    fn series(&self, place: &Place, replica: &ReplicaId) -> AttemptSeries {
        let line = place.line();
        let [engine, version, pool, class] = line.clone();
        let who = [engine, version, pool.clone(), name(replica.as_str())];
        AttemptSeries {
            started: self.started.of(who.iter().cloned().chain([class])),
            dispatch_latency: self.dispatch_latency.of([pool]),
            first_token: self.first_token.of(line.clone()),
            decode: self.decode.of(line),
            tokens_in: self.tokens_in.of(who.clone()),
            tokens_out: self.tokens_out.of(who.clone()),
            who,
        }
    }

    /// A task was refused, about no pool and no engine.
    fn refused(&self, reason: &'static str) {
        self.not_admitted.of([NONE, reason].map(Text::from)).inc();
        self.rejected.of([NONE, reason].map(Text::from)).inc();
    }
}

/// A class of tasks in a pool, and what serves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    pool: PoolId,
    priority: Priority,
    served: Served,
}

impl Place {
    /// The labels of what is counted by engine, pool and class.
    fn line(&self) -> [Text; 4] {
        let [engine, version] = self.served.labels();
        [engine, version, name(self.pool.as_str()), self.priority.as_str().into()]
    }
}

/// What serves a pool, as far as anybody told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Served {
    pub(crate) engine: Option<&'static str>,
    pub(crate) version: Option<String>,
}

impl Served {
    fn engine(&self) -> Text {
        self.engine.unwrap_or(UNKNOWN).into()
    }

    pub(super) fn labels(&self) -> [Text; 2] {
        [self.engine(), self.version.as_deref().map_or(UNKNOWN.into(), name)]
    }
}

/// Who took a task back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanceledBy {
    Client,
    /// Its readers left, and it was to end with them.
    Disconnect,
    /// It could not be kept.
    Storage,
}

/// Whether an engine answered a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    Yes,
    No,
}

/// The series of one attempt, found when it begins and kept as long as it lasts.
#[derive(Debug)]
pub(crate) struct AttemptSeries {
    who: [Text; 4],
    started: Counter,
    dispatch_latency: Histogram,
    first_token: Histogram,
    decode: Histogram,
    tokens_in: Counter,
    tokens_out: Counter,
}

impl AttemptSeries {
    pub(crate) fn first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64() * 1e3);
    }

    /// Its task has ended, having used so many tokens.
    pub(crate) fn used(&self, tokens_in: u32, tokens_out: u32) {
        self.tokens_in.inc_by(u64::from(tokens_in));
        self.tokens_out.inc_by(u64::from(tokens_out));
    }

    pub(crate) fn decoded(&self, ms: u64) {
        // More than the largest bucket is all the same to it.
        self.decode.observe(f64::from(u32::try_from(ms).unwrap_or(u32::MAX)));
    }
}

/// How an accepted task came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reception {
    /// It got a slot at once.
    Dispatched,
    /// It waits.
    Queued,
}

impl Metrics {
    pub(crate) fn enqueued(&self, admission: &Admission, priority: Priority, served: Served, how: Reception) {
        let place = Place { pool: admission.pool.clone(), priority, served };
        let counters = self.tasks.arrivals.of((place, how), |(place, how)| {
            let outcome = match how {
                Reception::Dispatched => "dispatched",
                Reception::Queued => "queued",
            };
            let [engine, version, pool, class] = place.line();
            let admitted = self.tasks.admitted.of([pool.clone(), outcome.into()]);
            [admitted, self.tasks.enqueued.of([engine, version, pool, ANY.into(), class])]
        });
        for counter in counters {
            counter.inc();
        }
    }

    /// No engine was open for a task that came in.
    pub(crate) fn waits(&self, wanted: &Requirements) {
        self.decided("queued", is_pinned(wanted), "false");
    }

    pub(crate) fn rejected(&self, rejection: &Rejection, wanted: &Requirements, served: &Served) {
        let reason = reason(&rejection.reason);
        let pool = rejection.pool.as_ref().map_or(NONE.into(), |pool| name(pool.as_str()));
        self.tasks.not_admitted.of([pool, reason.into()]).inc();
        let engine = if rejection.pool.is_some() { served.engine() } else { NONE.into() };
        self.tasks.rejected.of([engine.clone(), reason.into()]).inc();
        let policy = match rejection.reason {
            RejectReason::QueueFull => "reject",
            RejectReason::NothingToDrop => "drop-lru",
            _ if is_about_placement(&rejection.reason) => {
                return self.decided("refused", is_pinned(wanted), "false");
            }
            _ => return,
        };
        self.tasks.backpressure.of([engine, policy.into()]).inc();
    }

    /// A waiting task gave its place in a full queue to a newer one.
    pub(crate) fn dropped(&self, served: &Served) {
        self.tasks.backpressure.of([served.engine(), "drop-lru".into()]).inc();
    }

    /// A task was refused because it could not be kept.
    pub(crate) fn not_kept(&self) {
        self.tasks.refused("storage");
    }

    pub(crate) fn overloaded(&self) {
        self.tasks.refused("overloaded");
    }

    /// A task was refused for its model.
    pub(crate) fn model_refused(&self, unfit: &Unfit) {
        self.tasks.refused(match unfit {
            Unfit::Untrusted(Untrusted::Retired) => "model_retired",
            Unfit::NotInCatalog | Unfit::Untrusted(_) => "untrusted_artifact",
        });
    }

    /// A replica was chosen.
    pub(crate) fn placed(&self, assignment: &Assignment, wanted: &Requirements) {
        let is_not_preferred =
            !wanted.prefer_pools.is_empty() && !wanted.prefer_pools.contains(&assignment.pool);
        let is_fallback =
            assignment.attempt > 1 || assignment.affinity == Affinity::Moved || is_not_preferred;
        self.decided("placed", is_pinned(wanted), if is_fallback { "true" } else { "false" });
        if assignment.why.rule != Rule::Recovered {
            self.tasks.candidates.observe(f64::from(assignment.why.considered));
        }
    }

    fn decided(&self, outcome: &'static str, pinned: &'static str, fallback: &'static str) {
        self.tasks.decisions.of([outcome, pinned, fallback].map(Text::from)).inc();
    }

    /// An engine gets a task that has waited for so long.
    pub(crate) fn started(
        &self,
        assignment: &Assignment,
        priority: Priority,
        served: Served,
        waited: Duration,
    ) -> Arc<AttemptSeries> {
        let place = Place { pool: assignment.pool.clone(), priority, served };
        let key = (place, assignment.replica.clone());
        let series =
            self.tasks.attempts.of(key, |(place, replica)| Arc::new(self.tasks.series(place, replica)));
        series.dispatch_latency.observe(waited.as_secs_f64() * 1e3);
        series.started.inc();
        series
    }

    /// A task that runs was taken back.
    pub(crate) fn canceled(&self, attempt: &AttemptSeries, by: CanceledBy) {
        self.tasks.canceled.of(attempt.who.iter().cloned().chain([by.label()])).inc();
    }

    /// A task that waits was taken back.
    pub(crate) fn canceled_in_line(&self, pool: &PoolId, served: &Served, by: CanceledBy) {
        let [engine, version] = served.labels();
        let labels = [engine, version, name(pool.as_str()), NONE.into(), by.label()];
        self.tasks.canceled.of(labels).inc();
    }

    pub(crate) fn attempt_ended(&self, pool: &PoolId, outcome: Outcome) {
        self.tasks.dispatched.of([name(pool.as_str()), outcome_word(outcome).into()]).inc();
    }

    pub(crate) fn health_checked(&self, pool: &PoolId, answered: Answered) {
        let outcome = match answered {
            Answered::Yes => "ok",
            Answered::No => "error",
        };
        self.fleet.health_checks.of([name(pool.as_str()), outcome.into()]).inc();
    }
}

/// How an attempt ended, in a word.
pub(crate) const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Aborted => "aborted",
        Outcome::Lost { .. } => "lost",
        Outcome::TimedOut { .. } => "timed_out",
        Outcome::Busy { .. } => "busy",
        Outcome::Refused => "refused",
        Outcome::Evicted { .. } => "evicted",
    }
}

impl CanceledBy {
    fn label(self) -> Text {
        match self {
            Self::Client => "client",
            Self::Disconnect => "disconnect",
            Self::Storage => "storage",
        }
        .into()
    }
}

fn is_pinned(wanted: &Requirements) -> &'static str {
    if wanted.pin_pool.is_some() || wanted.pin_node.is_some() { "true" } else { "false" }
}

/// Whether no replica would have been chosen, whatever else.
fn is_about_placement(reason: &RejectReason) -> bool {
    match reason {
        RejectReason::NoPool
        | RejectReason::UnknownPin
        | RejectReason::NoSuchModel
        | RejectReason::NoSuchWorkload
        | RejectReason::Context { .. }
        | RejectReason::Device
        | RejectReason::Unready
        | RejectReason::Unreachable
        | RejectReason::NodeUnavailable
        | RejectReason::Vram { .. } => true,
        RejectReason::Deadline { .. }
        | RejectReason::QueueFull
        | RejectReason::NothingToDrop
        | RejectReason::DuplicateId
        | RejectReason::Poisoned
        | RejectReason::Session(_)
        | RejectReason::ShuttingDown => false,
    }
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
        RejectReason::NodeUnavailable => "node_unavailable",
        RejectReason::Vram { .. } => "vram",
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
