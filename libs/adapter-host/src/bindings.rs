//! Which adapter serves which replica.

use std::{collections::BTreeMap, sync::Arc};

use adapter_api::WorkerAdapter;
use orchestrator_core::{PoolId, ReplicaId};

/// A replica and the adapter that speaks with it.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The pool it belongs to.
    pub pool: PoolId,
    /// Its name in the pool.
    pub replica: ReplicaId,
    /// Speaks its dialect.
    pub adapter: Arc<dyn WorkerAdapter>,
}

/// All bindings. They are made at the start and looked up at each dispatch.
#[derive(Debug, Default)]
pub struct Bindings {
    by_replica: BTreeMap<(PoolId, ReplicaId), Binding>,
}

impl Bindings {
    /// Adds a replica, or gives it another adapter.
    pub fn bind(&mut self, binding: Binding) {
        self.by_replica.insert((binding.pool.clone(), binding.replica.clone()), binding);
    }

    /// The adapter of a replica.
    pub fn find(&self, pool: &PoolId, replica: &ReplicaId) -> Option<&Arc<dyn WorkerAdapter>> {
        self.by_replica.get(&(pool.clone(), replica.clone())).map(|binding| &binding.adapter)
    }

    /// All of them, by pool and name.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.by_replica.values()
    }
}
