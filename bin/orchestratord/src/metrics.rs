//! Every metric of the product: one table of them, and one method per thing that happens.
//!
//! Labels come from configuration, from the names of nodes and from closed lists; nothing that a client chose is
//! ever one. Each metric has a bound on its series. A token costs nothing here: what is counted, is counted
//! when an attempt begins, at its first token, and at the end of its task.

mod seen;
mod series;
mod table;
mod tasks;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use catalog_core::Outcome as Verdict;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::text::encode,
    metrics::{MetricType, counter::Counter as CounterOf, gauge::Gauge as GaugeOf, histogram::Histogram},
    registry::{Metric, Registry},
};

pub(crate) use self::{
    seen::{ReplicaSeen, Seen},
    tasks::{Answered, AttemptSeries, CanceledBy, Served, outcome_word},
};
use self::{
    series::{Series, Text},
    table::{Kind, Row},
};

type Counter = CounterOf<u64, AtomicU64>;
type Gauge = GaugeOf<i64, AtomicI64>;

/// The label value of what concerns no pool, no engine or no replica.
const NONE: &str = "none";
/// The label value of what nobody has told.
const UNKNOWN: &str = "unknown";

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    /// Jobs that wait, by pool and class, as the scheduler last had them.
    queues: Mutex<seen::Queues>,
    seen: seen::Gauges,
    tasks: tasks::Tasks,
    store: Store,
    catalog: CatalogMetrics,
    fleet: FleetMetrics,
    auth_failures: Series<Counter>,
    trace_spans: Series<Counter>,
}

struct Store {
    commit: Histogram,
    changes: Counter,
    errors: Counter,
}

struct CatalogMetrics {
    bytes_read: Counter,
    verified: Series<Counter>,
    verifications: Series<Counter>,
    transcripts: Series<Counter>,
}

/// What is counted of nodes and pools as a whole.
struct FleetMetrics {
    nodes_online: Gauge,
    pools_available: Gauge,
    registrations: Series<Counter>,
    heartbeats: Series<Counter>,
    health_checks: Series<Counter>,
}

/// Makes metrics from their rows, and registers them.
#[derive(Default)]
struct Build {
    registry: Registry,
}

impl Build {
    fn add<M: Metric + Clone>(&mut self, row: &'static Row, metric: M) -> M {
        // The library appends `_total` to counters.
        let name = match metric.metric_type() {
            MetricType::Counter => row.name.trim_end_matches("_total"),
            _ => row.name,
        };
        self.registry.register(name, row.help, metric.clone());
        metric
    }

    fn counters(&mut self, row: &'static Row) -> Series<Counter> {
        self.add(row, Series::new(row, |_| Counter::default()))
    }

    fn histograms(&mut self, row: &'static Row) -> Series<Histogram> {
        self.add(row, Series::new(row, histogram))
    }
}

fn histogram(row: &Row) -> Histogram {
    let buckets = match row.kind {
        Kind::Histogram(buckets) => buckets,
        Kind::Counter | Kind::Gauge => &[],
    };
    Histogram::new(buckets.iter().copied())
}

impl Metrics {
    //= ORCH-3028
    pub(crate) fn new() -> Self {
        let mut build = Build::default();
        let seen = seen::Gauges::new(&mut build);
        let tasks = tasks::Tasks::new(&mut build);
        let store = Store {
            commit: build.add(&table::STORE_COMMIT, histogram(&table::STORE_COMMIT)),
            changes: build.add(&table::STORE_CHANGES, Counter::default()),
            errors: build.add(&table::STORE_ERRORS, Counter::default()),
        };
        let catalog = CatalogMetrics {
            bytes_read: build.add(&table::VERIFY_BYTES, Counter::default()),
            verified: build.counters(&table::VERIFIED),
            verifications: build.counters(&table::CATALOG_VERIFICATIONS),
            transcripts: build.counters(&table::TRANSCRIPTS),
        };
        let fleet = FleetMetrics {
            nodes_online: build.add(&table::NODES_ONLINE, Gauge::default()),
            pools_available: build.add(&table::POOLS_AVAILABLE, Gauge::default()),
            registrations: build.counters(&table::NODE_REGISTRATIONS),
            heartbeats: build.counters(&table::NODE_HEARTBEATS),
            health_checks: build.counters(&table::HEALTH_CHECKS),
        };
        let auth_failures = build.counters(&table::AUTH_FAILURES);
        let trace_spans = build.counters(&table::TRACE_SPANS);
        let queues = Mutex::default();
        let registry = build.registry;
        Self { registry, queues, seen, tasks, store, catalog, fleet, auth_failures, trace_spans }
    }

    /// The text that a scraper gets, with what is seen of the fleet now.
    pub(crate) fn text(&self, seen: &Seen) -> String {
        self.seen.set(seen, &self.queues.lock());
        let mut text = String::new();
        // Writing to a string cannot fail.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    pub(crate) fn committed(&self, changes: usize, took: Duration) {
        self.store.commit.observe(took.as_secs_f64() * 1e3);
        self.store.changes.inc_by(changes as u64);
    }

    pub(crate) fn commit_failed(&self) {
        self.store.errors.inc();
    }

    /// A part of a model's file was read.
    pub(crate) fn model_bytes_read(&self, bytes: u64) {
        self.catalog.bytes_read.inc_by(bytes);
    }

    pub(crate) fn model_verified(&self, found: Option<&Verdict>) {
        let (result, reason) = match found {
            Some(Verdict::Pass) => ("pass", NONE),
            Some(Verdict::Warn(reason)) => ("warn", reason.as_str()),
            Some(Verdict::Fail(reason)) => ("fail", reason.as_str()),
            None => return,
        };
        self.catalog.verified.of([result.into()]).inc();
        // A file is verified for whichever engine loads it.
        self.catalog.verifications.of([result, reason, NONE].map(Text::from)).inc();
    }

    /// A transcript was stored, failed, or was dropped because too many waited.
    pub(crate) fn transcript(&self, outcome: &'static str) {
        self.catalog.transcripts.of([outcome.into()]).inc();
    }

    /// A request was not let in; `reason` is one of a closed list.
    pub(crate) fn auth_failed(&self, reason: &'static str) {
        self.auth_failures.of([reason.into()]).inc();
    }

    /// So many spans were exported, failed to be, or were dropped.
    pub(crate) fn trace_spans(&self, outcome: &'static str, count: usize) {
        self.trace_spans.of([outcome.into()]).inc_by(count as u64);
    }

    pub(crate) fn nodes_online(&self, count: usize) {
        self.fleet.nodes_online.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(crate) fn pools_available(&self, count: usize) {
        self.fleet.pools_available.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A node registered, or was refused.
    pub(crate) fn node_registered(&self, outcome: &'static str) {
        self.fleet.registrations.of([outcome.into()]).inc();
    }

    /// A heartbeat was taken in, or refused.
    pub(crate) fn node_heard(&self, outcome: &'static str) {
        self.fleet.heartbeats.of([outcome.into()]).inc();
    }
}

fn name(of: &str) -> Text {
    Text::Name(Arc::from(of))
}
