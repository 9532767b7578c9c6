//! Gauges that are read off the fleet whenever somebody scrapes, so that none shows what is not there any more.

use std::{collections::HashMap, sync::Arc};

use orchestrator_core::{PoolId, Priority, ReplicaId};

use super::{
    Build, Metrics, Served, Text, UNKNOWN, name,
    series::{Labels, Snapshot},
    table,
};

/// Jobs that wait in each pool, interactive ones first.
pub(super) type Queues = Vec<(PoolId, [u32; 2])>;

/// What is there now.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// In the order of their pools.
    pub(crate) replicas: Vec<ReplicaSeen>,
    /// The models of the catalog, and the state of each, of a closed list.
    pub(crate) models: Vec<(Arc<str>, &'static str)>,
}

/// What is known of a replica; nothing of one whose node is silent.
#[derive(Debug)]
pub(crate) struct ReplicaSeen {
    pub(crate) pool: PoolId,
    pub(crate) replica: ReplicaId,
    pub(crate) served: Served,
    pub(crate) device: Option<Arc<str>>,
    pub(crate) vram_used_bytes: Option<u64>,
    pub(crate) gpu_utilization: Option<f64>,
    pub(crate) kv_cache_usage: Option<f64>,
}

/// The gauges.
pub(super) struct Gauges {
    waiting: Snapshot<i64>,
    waiting_by_class: Snapshot<i64>,
    vram_used: Snapshot<i64>,
    gpu_utilization: Snapshot<f64>,
    kv_cache_usage: Snapshot<f64>,
    model_state: Snapshot<i64>,
}

impl Gauges {
    pub(super) fn new(build: &mut Build) -> Self {
        Self {
            waiting: build.add(&table::ADMISSION_QUEUE_DEPTH, Snapshot::new(&table::ADMISSION_QUEUE_DEPTH)),
            waiting_by_class: build.add(&table::QUEUE_DEPTH, Snapshot::new(&table::QUEUE_DEPTH)),
            vram_used: build.add(&table::VRAM_USED, Snapshot::new(&table::VRAM_USED)),
            gpu_utilization: build.add(&table::GPU_UTILIZATION, Snapshot::new(&table::GPU_UTILIZATION)),
            kv_cache_usage: build.add(&table::KV_CACHE_USAGE, Snapshot::new(&table::KV_CACHE_USAGE)),
            model_state: build.add(&table::MODEL_STATE, Snapshot::new(&table::MODEL_STATE)),
        }
    }

    /// Sets all. Numbers of things are added up where they have no series of their own; of ratios the largest counts.
    pub(super) fn set(&self, seen: &Seen, queues: &Queues) {
        self.set_queues(seen, queues);
        let replicas = || seen.replicas.iter();
        let used = replicas().filter_map(|it| Some((it.with_device(), whole(it.vram_used_bytes?))));
        self.vram_used.set(used, i64::saturating_add);
        let busy = replicas().filter_map(|it| Some((it.with_device(), it.gpu_utilization?)));
        self.gpu_utilization.set(busy, f64::max);
        let full = replicas().filter_map(|it| Some((it.labels().collect(), it.kv_cache_usage?)));
        self.kv_cache_usage.set(full, f64::max);
        let models = seen.models.iter();
        let states = models
            .map(|(id, state)| ([Text::Name(Arc::clone(id)), (*state).into()].into_iter().collect(), 1));
        self.model_state.set(states, i64::saturating_add);
    }

    fn set_queues(&self, seen: &Seen, queues: &Queues) {
        let totals = queues.iter().map(|(pool, [interactive, batch])| {
            let waiting = u64::from(*interactive) + u64::from(*batch);
            ([name(pool.as_str())].into_iter().collect(), whole(waiting))
        });
        self.waiting.set(totals, i64::saturating_add);
        let mut served: HashMap<&PoolId, &Served> = HashMap::new();
        for replica in &seen.replicas {
            served.entry(&replica.pool).or_insert(&replica.served);
        }
        let nobody = Served::default();
        let lines = queues.iter().flat_map(|(pool, waiting)| {
            let [engine, version] = served.get(pool).copied().unwrap_or(&nobody).labels();
            [Priority::Interactive, Priority::Batch].into_iter().zip(waiting).map(move |(class, waiting)| {
                let labels: Labels =
                    [engine.clone(), version.clone(), name(pool.as_str()), class.as_str().into()]
                        .into_iter()
                        .collect();
                (labels, i64::from(*waiting))
            })
        });
        self.waiting_by_class.set(lines, i64::saturating_add);
    }
}

impl ReplicaSeen {
    fn labels(&self) -> impl Iterator<Item = Text> {
        let place = [name(self.pool.as_str()), name(self.replica.as_str())];
        self.served.labels().into_iter().chain(place)
    }

    fn with_device(&self) -> Labels {
        let device = self.device.clone().map_or(UNKNOWN.into(), Text::Name);
        self.labels().chain([device]).collect()
    }
}

impl Metrics {
    /// Shows the queues as they are after a round; in most rounds they are as they were.
    pub(crate) fn queues<'a>(&self, waiting: impl Iterator<Item = (&'a PoolId, [u32; 2])>) {
        let mut queues = self.queues.lock();
        let mut known = 0;
        for (pool, waiting) in waiting {
            match queues.get_mut(known) {
                Some(queue) if queue.0 == *pool => queue.1 = waiting,
                _ => {
                    queues.truncate(known);
                    queues.push((pool.clone(), waiting));
                }
            }
            known += 1;
        }
        queues.truncate(known);
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
