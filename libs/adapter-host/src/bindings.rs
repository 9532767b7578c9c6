//! Which adapter serves which replica.

use std::{collections::BTreeMap, sync::Arc};

use adapter_api::WorkerAdapter;
use orchestrator_core::{PoolId, ReplicaId};
use parking_lot::RwLock;

type Key = (PoolId, ReplicaId);

/// All adapters, by the replica that each speaks with. Replicas come and go with their nodes, so it is
/// shared: one writes when a replica changes, and each dispatch reads.
#[derive(Debug, Default)]
pub struct Bindings {
    by_replica: RwLock<BTreeMap<Key, Arc<dyn WorkerAdapter>>>,
}

impl Bindings {
    /// Adds a replica, or gives it another adapter. Attempts that run keep the one that they have.
    pub fn bind(&self, pool: &PoolId, replica: &ReplicaId, adapter: Arc<dyn WorkerAdapter>) {
        self.by_replica.write().insert((pool.clone(), replica.clone()), adapter);
    }

    /// Forgets a replica.
    pub fn unbind(&self, pool: &PoolId, replica: &ReplicaId) {
        self.by_replica.write().remove(&(pool.clone(), replica.clone()));
    }

    /// The adapter of a replica.
    pub fn find(&self, pool: &PoolId, replica: &ReplicaId) -> Option<Arc<dyn WorkerAdapter>> {
        self.by_replica.read().get(&(pool.clone(), replica.clone())).cloned()
    }
}
