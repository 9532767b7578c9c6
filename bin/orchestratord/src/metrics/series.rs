//! The series of one metric, of which there is never more than a fixed number.
//!
//! Nodes choose names, and a fleet that is rebuilt every hour has new ones all the time. What finds no room
//! is counted together under `other`, so a scraper's memory does not depend on what anybody calls himself.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeGaugeValue, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder},
    metrics::MetricType,
};
use smallvec::SmallVec;

use super::table::Row;

/// How many lines a metric has at most.
const LINES_MAX: usize = 1_500;
/// How many of them names may take; the rest is for what is counted under `other`.
const LINES_FOR_NAMES: usize = 1_200;
/// The labels whose values are names; those of all others come from lists in the code.
const NAMES: [&str; 5] = ["engine_version", "pool_id", "replica_id", "device", "model_id"];
/// What a name becomes for which there is no room.
const OTHER: &str = "other";

/// A label's value.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Fixed(&'static str),
    Name(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Name(text) => text,
        }
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// The values of a row's labels, in its order.
pub(super) type Labels = SmallVec<[Text; 5]>;

/// Values by their labels, never too many.
#[derive(Debug)]
pub(super) struct Bounded<V> {
    row: &'static Row,
    values: HashMap<Labels, V>,
}

impl<V> Bounded<V> {
    fn new(row: &'static Row) -> Self {
        Self { row, values: HashMap::new() }
    }

    /// The value of these labels, or of what they are counted under.
    fn at(&mut self, labels: Labels, make: impl FnOnce() -> V) -> &mut V {
        let labels = if self.values.contains_key(&labels) { labels } else { self.place(labels) };
        self.values.entry(labels).or_insert_with(make)
    }

    //= ORCH-3313
    fn place(&self, labels: Labels) -> Labels {
        let lines = self.row.kind.lines();
        let with_one_more = (self.values.len() + 1) * lines;
        if with_one_more <= LINES_FOR_NAMES {
            return labels;
        }
        let under = |is_folded: &dyn Fn(&str) -> bool| -> Labels {
            let pairs = self.row.labels.iter().zip(&labels);
            pairs.map(|(label, text)| if is_folded(label) { OTHER.into() } else { text.clone() }).collect()
        };
        let nameless = under(&|label| NAMES.contains(&label));
        // The very last place is kept for what has no other.
        if self.values.contains_key(&nameless) || with_one_more + lines <= LINES_MAX {
            nameless
        } else {
            under(&|_| true)
        }
    }

    fn encode(
        &self,
        encoder: &mut MetricEncoder<'_>,
        one: impl Fn(&V, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        for (texts, value) in &self.values {
            let pairs: SmallVec<[(&str, Text); 5]> =
                self.row.labels.iter().copied().zip(texts.iter().cloned()).collect();
            one(value, encoder.encode_family(&pairs.as_slice())?)?;
        }
        Ok(())
    }
}

/// Counters or histograms, each living on under its labels.
#[derive(Debug)]
pub(super) struct Series<M> {
    all: Arc<RwLock<Bounded<M>>>,
    make: fn(&Row) -> M,
}

impl<M> Clone for Series<M> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all), make: self.make }
    }
}

impl<M: Clone> Series<M> {
    pub(super) fn new(row: &'static Row, make: fn(&Row) -> M) -> Self {
        Self { all: Arc::new(RwLock::new(Bounded::new(row))), make }
    }

    /// The handle for these labels, which may be kept.
    pub(super) fn of(&self, labels: impl IntoIterator<Item = Text>) -> M {
        let labels: Labels = labels.into_iter().collect();
        if let Some(known) = self.all.read().values.get(&labels) {
            return known.clone();
        }
        let mut all = self.all.write();
        let row = all.row;
        all.at(labels, || (self.make)(row)).clone()
    }
}

impl<M: EncodeMetric> EncodeMetric for Series<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.all.read().encode(&mut encoder, EncodeMetric::encode)
    }

    fn metric_type(&self) -> MetricType {
        (self.make)(self.all.read().row).metric_type()
    }
}

/// More places than these have no handles of their own kept.
const KNOWN_MAX: usize = 4_096;

/// Handles by what is known where they are needed, so that no labels have to be made to find them again. When it
/// is full it forgets all: names come and go, and what is asked for again is soon known again.
#[derive(Debug)]
pub(super) struct Known<K, V> {
    handles: RwLock<HashMap<K, V>>,
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self { handles: RwLock::default() }
    }
}

impl<K: Hash + Eq, V: Clone> Known<K, V> {
    /// The handle of `key`, which `find` finds when it is not known.
    pub(super) fn of(&self, key: K, find: impl FnOnce(&K) -> V) -> V {
        if let Some(known) = self.handles.read().get(&key) {
            return known.clone();
        }
        let found = find(&key);
        let mut handles = self.handles.write();
        if handles.len() >= KNOWN_MAX {
            handles.clear();
        }
        handles.insert(key, found.clone());
        found
    }
}

/// Gauges that are all set at once, so that what is gone leaves no last value behind.
#[derive(Debug)]
pub(super) struct Snapshot<V> {
    all: Arc<RwLock<Bounded<V>>>,
    row: &'static Row,
}

impl<V> Clone for Snapshot<V> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all), row: self.row }
    }
}

impl<V: Copy> Snapshot<V> {
    pub(super) fn new(row: &'static Row) -> Self {
        Self { all: Arc::new(RwLock::new(Bounded::new(row))), row }
    }

    /// Sets all; what comes under the same labels is put together.
    pub(super) fn set(&self, values: impl IntoIterator<Item = (Labels, V)>, together: fn(V, V) -> V) {
        let mut all = Bounded::new(self.row);
        for (labels, value) in values {
            let mut is_new = false;
            let at = all.at(labels, || {
                is_new = true;
                value
            });
            if !is_new {
                *at = together(*at, value);
            }
        }
        *self.all.write() = all;
    }
}

impl<V: EncodeGaugeValue> EncodeMetric for Snapshot<V> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.all.read().encode(&mut encoder, |value, mut encoder| encoder.encode_gauge(value))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::metrics::table::{FIRST_TOKEN, TASKS_STARTED, VRAM_USED};

    fn name(kind: &str, number: u32) -> Text {
        Text::Name(format!("{kind}-{number}").into())
    }

    // X06
    //= ORCH-3313 type=test
    #[test]
    fn a_million_random_names_are_no_more_than_fifteen_hundred_lines() {
        let series: Series<Counter> = Series::new(&TASKS_STARTED, |_| Counter::default());
        let versions: Vec<_> = (0..1_000).map(|number| name("v", number)).collect();
        for number in 0..1_000_000_u32 {
            // A generator's step stands for chance, so that a failure can be repeated.
            let random = number.wrapping_mul(2_654_435_761);
            let priority = if random % 2 == 0 { "interactive" } else { "batch" };
            let (version, place) = (versions[random as usize % 1_000].clone(), name("p", random));
            let labels = ["mock".into(), version, place.clone(), place, priority.into()];
            series.of(labels).inc();
        }
        let all = series.all.read();
        assert_eq!(all.values.len(), LINES_FOR_NAMES + 2);
        let total: u64 = all.values.values().map(Counter::get).sum();
        assert_eq!(total, 1_000_000, "what has no name is counted all the same");
        let other = |priority: &'static str| -> Labels {
            ["mock", OTHER, OTHER, OTHER, priority].into_iter().map(Text::from).collect()
        };
        assert!(all.values[&other("batch")].get() > 490_000);
    }

    //= ORCH-3313 type=test
    #[test]
    fn even_labels_from_lists_do_not_pass_the_bound() {
        let mut all: Bounded<u64> = Bounded::new(&FIRST_TOKEN);
        for number in 0..100_000 {
            // As if somebody had called a name what should come from a list.
            *all.at([0, 1, 2, 3].map(|_| name("x", number)).into_iter().collect(), || 0) += 1;
        }
        assert!(all.values.len() * FIRST_TOKEN.kind.lines() <= LINES_MAX, "{}", all.values.len());
        assert_eq!(all.values.values().sum::<u64>(), 100_000);
    }

    #[test]
    fn what_was_found_once_is_not_looked_for_again_and_no_more_is_kept_than_there_is_room_for() {
        let known = Known::default();
        assert_eq!(known.of(1, |key| key * 10), 10);
        assert_eq!(known.of(1, |_| 0), 10);
        for key in 0..100_000 {
            known.of(key, |key| *key);
            assert!(known.handles.read().len() <= KNOWN_MAX);
        }
        assert_eq!(known.of(1, |_| 0), 0, "it was forgotten");
    }

    #[test]
    fn gauges_of_what_is_gone_are_gone_and_those_without_room_are_put_together() {
        let gauges: Snapshot<i64> = Snapshot::new(&VRAM_USED);
        let labels = |number| -> Labels {
            let device = "0".into();
            ["mock".into(), "v".into(), name("p", number), name("r", number), device].into_iter().collect()
        };
        gauges.set((0..5_000).map(|number| (labels(number), 2)), |a, b| a + b);
        assert_eq!(gauges.all.read().values.values().sum::<i64>(), 10_000);
        assert_eq!(gauges.all.read().values.len(), LINES_FOR_NAMES + 1);
        gauges.set([(labels(7), 3)], |a, b| a + b);
        assert_eq!(gauges.all.read().values.len(), 1);
    }
}
