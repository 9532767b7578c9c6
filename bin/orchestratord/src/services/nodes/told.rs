//! From what nodes report to what is believed of replicas: each held against the catalog, and against the
//! other replicas of its pool.

use std::{collections::BTreeMap, sync::Arc};

use config_schema::EngineKind;
use orchestrator_core::{Device, NodeId, PoolId};
use pool_registry_types::PoolReport;
use service_registry::{Endpoint, Registry};

use super::Key;
use crate::services::{
    models::Models,
    pools::{ByNode, Described, Standing, Wanted},
};

/// A replica as its node reports it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) node: Arc<str>,
    pub(super) report: Arc<PoolReport>,
    /// Where its engine listens, checked.
    pub(super) endpoint: Option<Endpoint>,
    /// Whether the registry lets it work.
    pub(super) ready: bool,
}

/// All replicas of nodes.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    all: BTreeMap<Key, Known>,
    /// Counts those that became ready.
    readied: u64,
}

#[derive(Debug)]
struct Known {
    replica: Replica,
    /// Which one of all it was to become ready, while it is.
    ready_as: Option<u64>,
}

/// What is said of a replica, and where its engine is.
type Judged = (Key, Described, Option<Wanted>);

impl Replicas {
    /// Takes in a report. Whether what must outlive the process changed: that there is such a replica, or its model.
    pub(super) fn insert(&mut self, key: Key, replica: Replica) -> bool {
        let before = self.all.remove(&key);
        let lasting = before.as_ref().is_none_or(|before| {
            let (old, new) = (&before.replica, &replica);
            old.node != new.node
                || old.report.model_id != new.report.model_id
                || old.report.engine != new.report.engine
        });
        let ready_as = before.and_then(|before| before.ready_as).filter(|_| replica.ready).or_else(|| {
            self.readied += u64::from(replica.ready);
            replica.ready.then_some(self.readied)
        });
        self.all.insert(key, Known { replica, ready_as });
        lasting
    }

    /// Forgets a replica. The node that had it.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<str>> {
        self.all.remove(key).map(|known| known.replica.node)
    }

    pub(super) fn node_of(&self, key: &Key) -> Option<&Arc<str>> {
        self.all.get(key).map(|known| &known.replica.node)
    }

    /// The replicas of a node.
    pub(super) fn of_node(&self, node: &str) -> Vec<Key> {
        let here = self.all.iter().filter(|(_, known)| &*known.replica.node == node);
        here.map(|(key, _)| key.clone()).collect()
    }

    /// The reports of a node.
    pub(super) fn reports_of(&self, node: &str) -> impl Iterator<Item = (&Key, &PoolReport)> {
        let here = self.all.iter().filter(move |(_, known)| &*known.replica.node == node);
        here.map(|(key, known)| (key, &*known.replica.report))
    }

    /// What is believed of the replicas of a pool.
    pub(super) fn judged(&self, pool: &PoolId, registry: &Registry, models: &Models) -> Vec<Judged> {
        let own = || self.all.iter().filter(|(key, _)| key.0 == *pool);
        // The one that has been ready for longest sets the version; a set of mixed ones is not reproducible.
        //= ORCH-3046
        let oldest =
            own().filter(|(_, known)| known.ready_as.is_some()).min_by_key(|(_, known)| known.ready_as);
        let version = oldest.and_then(|(_, known)| {
            let report = &known.replica.report;
            report.engine_version.as_deref().map(|version| (report.engine.as_deref(), version))
        });
        own()
            .map(|(key, known)| {
                (key.clone(), describe(known, version, registry, models), wanted(known, registry))
            })
            .collect()
    }
}

/// The replica as the scheduler is to believe in it.
fn describe(
    known: &Known,
    version: Option<(Option<&str>, &str)>,
    registry: &Registry,
    models: &Models,
) -> Described {
    let Replica { node, report, .. } = &known.replica;
    let node_known = registry.node(node);
    let online = node_known.is_some_and(service_registry::Node::is_online);
    let damped = node_known.is_some_and(service_registry::Node::is_damped);
    let barred = untrusted(report, models).or_else(|| mixed(report, version));
    let standing = match (barred.is_some(), online) {
        (true, _) => Standing::Barred,
        (false, false) => Standing::Offline,
        (false, true) if damped || !report.ready => Standing::NotReady,
        (false, true) if report.draining => Standing::Draining,
        (false, true) => Standing::Ready,
    };
    let problem = match standing {
        Standing::Barred => barred,
        Standing::Offline => Some("its node is silent".to_owned()),
        Standing::NotReady if damped => Some("its node has gone silent too often of late".to_owned()),
        Standing::NotReady => report.last_error.clone(),
        Standing::Draining | Standing::Ready => None,
    };
    let device = match report.device_mask.as_deref() {
        None => Device::Unstated,
        Some("cpu") => Device::Cpu,
        Some(mask) => Device::Mask(mask.into()),
    };
    // A node without a GPU says 0 of 0.
    let measured = report.vram_total_bytes.unwrap_or(report.vram_free_bytes) > 0;
    Described {
        model: report.model_id.clone(),
        slots: Some(report.slots()),
        ctx_max: report.ctx_max,
        device,
        price: 0,
        by_node: Some(ByNode {
            node: NodeId::new(Arc::clone(node)),
            standing,
            version: report.engine_version.clone(),
            vram_free_bytes: measured.then_some(report.vram_free_bytes),
            vram_total_bytes: report.vram_total_bytes.filter(|_| measured),
            gpu_utilization: report.gpu_utilization,
            problem,
        }),
    }
}

/// Where its engine is, if its node says that in words that are understood.
fn wanted(known: &Known, registry: &Registry) -> Option<Wanted> {
    let report = &known.replica.report;
    let engine: EngineKind = report.engine.as_deref()?.parse().ok()?;
    let node = registry.node(&known.replica.node)?;
    let endpoint = known.replica.endpoint.clone()?;
    let (peer, node_host) = (node.contact().peer, node.place().host());
    // The mock is a part of this process and on no other machine.
    (engine != EngineKind::Mock).then_some(Wanted { engine, endpoint, peer, node_host })
}

/// A model whose file is another one than the catalog knows.
// N14
fn untrusted(report: &PoolReport, models: &Models) -> Option<String> {
    let expected = models.digest_of(report.model_id.as_deref()?)?;
    match &report.model_digest {
        Some(told) if *told == expected => None,
        Some(told) => Some(format!("UNTRUSTED_ARTIFACT: its model has the digest {told}, not {expected}")),
        None if models.is_strict() => {
            Some("UNTRUSTED_ARTIFACT: its node does not tell the digest of its model".to_owned())
        }
        None => None,
    }
}

fn mixed(report: &PoolReport, version: Option<(Option<&str>, &str)>) -> Option<String> {
    let (engine, version) = version?;
    let own = report.engine_version.as_deref()?;
    let same = own == version && report.engine.as_deref() == engine;
    (!same)
        .then(|| format!("its engine is {own}, and the pool's others are {version}: a pool has one version"))
}
