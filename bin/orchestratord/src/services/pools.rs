//! The replicas of all pools: what is said of each, whether its engine answers, and the way to it.
//!
//! An engine that the operator attached is looked at regularly. One that a node reports is looked at by
//! that node, and from here only when it is new, when it changed, and when a stream of it broke.

mod connect;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use adapter_api::{AdapterError, Capabilities, WorkerAdapter};
use adapter_host::Bindings;
use config_schema::EngineKind;
use orchestrator_core::{Event, PoolId, Readiness, ReplicaId};
use parking_lot::{MutexGuard, RwLock};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::handle::SchedulerHandle;
use crate::metrics::{Answered, Metrics, ReplicaSeen, Served};

use self::watched::{State, Watched, Way};
pub(crate) use self::{
    connect::{Connector, Wanted},
    watched::{ByNode, Described, Heard, Standing, workload},
};

type Key = (PoolId, ReplicaId);

/// A replica that the operator attached.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaConfig {
    pub(crate) pool: PoolId,
    pub(crate) replica: ReplicaId,
    pub(crate) adapter: Arc<dyn WorkerAdapter>,
    pub(crate) described: Described,
}

/// What the watches need.
pub(crate) struct PoolsParts {
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracker: TaskTracker,
    pub(crate) closing: CancellationToken,
    pub(crate) connector: Connector,
    /// The time between two looks at an engine.
    pub(crate) interval: Duration,
}

/// All replicas and what was last heard of them.
pub(crate) struct Pools {
    parts: PoolsParts,
    pub(crate) bindings: Bindings,
    replicas: RwLock<BTreeMap<Key, Arc<Watched>>>,
}

impl Pools {
    pub(crate) fn new(parts: PoolsParts) -> Self {
        Self { parts, bindings: Bindings::default(), replicas: RwLock::default() }
    }

    /// Makes the operator's replicas known, before the first look at them.
    pub(crate) fn attach(&self, replicas: Vec<ReplicaConfig>) {
        for ReplicaConfig { pool, replica, adapter, described } in replicas {
            let watched = Arc::new(Watched::new(pool.clone(), replica.clone(), described));
            self.bindings.bind(&pool, &replica, Arc::clone(&adapter));
            let mut state = watched.state();
            state.way = Some(Way { adapter, generation: 0 });
            self.tell(&watched, &state);
            drop(state);
            self.replicas.write().insert((pool, replica), watched);
        }
    }

    /// Looks at all replicas that are attached, from now on.
    pub(crate) fn watch_attached(self: &Arc<Self>) {
        let all: Vec<_> = self.replicas.read().values().cloned().collect();
        for watched in all.into_iter().filter(|it| it.state().described.by_node.is_none()) {
            self.watch(watched);
        }
    }

    /// A node describes a replica: a new one, or one that changed.
    pub(crate) fn report(self: &Arc<Self>, key: Key, described: Described, wanted: Option<Wanted>) {
        let (known, is_new) = self.known_or_new(key, &described);
        let mut state = known.state();
        let other_engine = state.wanted != wanted;
        let other_model = state.described.model != described.model;
        state.described = described;
        state.wanted = wanted;
        if other_engine || other_model {
            // What an adapter has learnt of its engine, it has learnt of another model.
            self.leave(&known, &mut state);
        } else if state.heard.last_error.is_some() {
            known.look_now.notify_one();
        }
        // One that is being looked at is told of when that look is over.
        if is_new || !state.in_doubt {
            self.tell(&known, &state);
        }
        drop(state);
        if is_new {
            self.watch(known);
        }
    }

    fn known_or_new(&self, key: Key, described: &Described) -> (Arc<Watched>, bool) {
        let mut replicas = self.replicas.write();
        if let Some(known) = replicas.get(&key) {
            return (Arc::clone(known), false);
        }
        let watched = Arc::new(Watched::new(key.0.clone(), key.1.clone(), described.clone()));
        replicas.insert(key, Arc::clone(&watched));
        (watched, true)
    }

    /// A replica is not there any more.
    pub(crate) fn remove(&self, key: &Key) {
        let Some(watched) = self.replicas.write().remove(key) else { return };
        // Under its lock, so that nothing is told of it afterwards.
        let state = watched.state();
        watched.gone.cancel();
        self.bindings.unbind(&watched.pool, &watched.replica);
        self.parts.scheduler.tell(Event::ReplicaGone(key.0.clone(), key.1.clone()));
        drop(state);
    }

    /// The replicas that a node has brought, also those of which only the process before knew.
    pub(crate) fn of_node(&self, node: &str) -> Vec<Key> {
        let replicas = self.replicas.read();
        let is_there = |watched: &Watched| {
            watched.state().described.by_node.as_ref().is_some_and(|by_node| by_node.node.as_str() == node)
        };
        replicas.iter().filter(|(_, watched)| is_there(watched)).map(|(key, _)| key.clone()).collect()
    }

    /// Has a replica looked at without waiting for its turn.
    pub(crate) fn look_now(&self, pool: &PoolId, replica: &ReplicaId) {
        if let Some(watched) = self.find(pool, replica) {
            watched.state().in_doubt = true;
            watched.look_now.notify_one();
        }
    }

    /// Gives a replica another engine of this process, which serves another model.
    pub(crate) fn replace(&self, key: &Key, adapter: Arc<dyn WorkerAdapter>, model: &str) {
        let Some(watched) = self.find(&key.0, &key.1) else { return };
        let mut state = watched.state();
        self.bindings.bind(&key.0, &key.1, Arc::clone(&adapter));
        state.leave();
        state.way = Some(Way { adapter, generation: state.generation });
        state.described.model = Some(model.to_owned());
        watched.look_now.notify_one();
    }

    /// Nothing that is known of a replica's model holds any more, until its engine is seen again.
    pub(crate) fn distrust(&self, key: &Key) {
        let Some(watched) = self.find(&key.0, &key.1) else { return };
        let mut state = watched.state();
        if state.described.by_node.is_some() {
            state.described.model = None;
            self.leave(&watched, &mut state);
        }
        self.tell(&watched, &state);
    }

    /// Has a replica approached anew: its engine may be another one by now.
    fn leave(&self, watched: &Watched, state: &mut State) {
        state.leave();
        self.bindings.unbind(&watched.pool, &watched.replica);
        watched.look_now.notify_one();
    }

    /// The model that a replica is said to have.
    pub(crate) fn model_of(&self, key: &Key) -> Option<String> {
        self.find(&key.0, &key.1)?.state().described.model.clone()
    }

    /// Whether a replica's engine has answered, and nobody has said anything against it.
    pub(crate) fn is_ready(&self, key: &Key) -> bool {
        self.find(&key.0, &key.1).is_some_and(|watched| watched.state().readiness() == Readiness::Ready)
    }

    /// How many pools have an engine that takes work.
    pub(crate) fn available(&self) -> usize {
        let replicas = self.replicas.read();
        let ready = replicas.iter().filter(|(_, it)| it.state().readiness() == Readiness::Ready);
        ready.map(|((pool, _), _)| pool).collect::<BTreeSet<_>>().len()
    }

    /// The way to what nodes have named.
    pub(crate) fn connector(&self) -> &Connector {
        &self.parts.connector
    }

    /// The replicas of a pool, by name.
    pub(crate) fn replicas_of(&self, pool: &PoolId) -> Vec<Key> {
        self.replicas.read().keys().filter(|key| key.0 == *pool).cloned().collect()
    }

    /// Whether a replica's engine is a part of this process.
    pub(crate) fn is_in_process(&self, key: &Key) -> bool {
        let can = self.capabilities(&key.0, &key.1);
        can.is_some_and(|can| can.engine == EngineKind::Mock.as_str())
    }

    /// What was last heard of a replica; its node's word where the engine itself says nothing.
    pub(crate) fn heard(&self, pool: &PoolId, replica: &ReplicaId) -> Heard {
        let Some(watched) = self.find(pool, replica) else { return Heard::default() };
        let state = watched.state();
        let mut heard = state.heard.clone();
        if let Some(by_node) = &state.described.by_node {
            heard.last_error = by_node.problem.clone().or(heard.last_error);
        }
        heard
    }

    /// What serves a pool: the first of its replicas that tells.
    pub(crate) fn served(&self, pool: &PoolId) -> Served {
        let replicas = self.replicas.read();
        let own = replicas.range((pool.clone(), ReplicaId::new(""))..).take_while(|(key, _)| key.0 == *pool);
        let mut best = Served::default();
        for served in own.map(|(_, watched)| watched.state().served()) {
            let known = |served: &Served| (served.engine.is_some(), served.version.is_some());
            if known(&served) == (true, true) {
                return served;
            }
            best = if known(&served) >= known(&best) { served } else { best };
        }
        best
    }

    /// What is there, for whoever watches the fleet.
    pub(crate) fn seen(&self) -> Vec<ReplicaSeen> {
        self.replicas.read().values().map(|watched| watched.seen()).collect()
    }

    /// The engine's version, if it or its node told one.
    pub(crate) fn version(&self, pool: &PoolId, replica: &ReplicaId) -> Option<String> {
        self.find(pool, replica)?.state().version()
    }

    /// What the engine of a replica can do.
    pub(crate) fn capabilities(&self, pool: &PoolId, replica: &ReplicaId) -> Option<Capabilities> {
        Some(self.bindings.find(pool, replica)?.capabilities())
    }

    fn find(&self, pool: &PoolId, replica: &ReplicaId) -> Option<Arc<Watched>> {
        self.replicas.read().get(&(pool.clone(), replica.clone())).cloned()
    }

    /// Tells the scheduler how a replica is; under its lock, so that the last word is the newest.
    fn tell(&self, watched: &Watched, state: &MutexGuard<'_, State>) {
        if !watched.gone.is_cancelled() {
            self.parts.scheduler.tell(Event::ReplicaSeen(watched.view(state)));
        }
    }

    fn watch(self: &Arc<Self>, watched: Arc<Watched>) {
        let (pools, closing) = (Arc::clone(self), self.parts.closing.clone());
        self.parts.tracker.spawn(async move {
            let gone = watched.gone.clone();
            tokio::select! {
                () = pools.look_for_ever(&watched) => {}
                () = gone.cancelled() => {}
                () = closing.cancelled() => {}
            }
        });
    }

    async fn look_for_ever(&self, watched: &Watched) {
        loop {
            let regular = self.look(watched).await;
            tokio::select! {
                () = sleep(self.parts.interval), if regular => {}
                () = watched.look_now.notified() => {}
            }
        }
    }

    /// Looks at one replica. Whether the next look is due by itself.
    async fn look(&self, watched: &Watched) -> bool {
        let (way, wanted) = {
            let state = watched.state();
            (state.way.clone(), state.wanted.clone())
        };
        let way = match (way, wanted) {
            (Some(way), _) => way,
            (None, Some(wanted)) => match self.approach(watched, &wanted).await {
                Some(way) => way,
                None => return true,
            },
            // Its node has not said yet where it is.
            (None, None) => return false,
        };
        let result = way.adapter.probe().await;
        let answered = if result.is_ok() { Answered::Yes } else { Answered::No };
        self.parts.metrics.health_checked(&watched.pool, answered);
        let mut state = watched.state();
        if state.generation != way.generation {
            return true;
        }
        watched.hear(&mut state, way.adapter.capabilities(), result);
        self.tell(watched, &state);
        state.described.by_node.is_none() || state.heard.last_error.is_some()
    }

    /// Finds the way to the engine that a node has named.
    async fn approach(&self, watched: &Watched, wanted: &Wanted) -> Option<Way> {
        let made = self.parts.connector.connect(&watched.pool, wanted).await;
        let mut state = watched.state();
        if state.wanted.as_ref() != Some(wanted) {
            return None;
        }
        match made {
            Ok(adapter) => {
                self.bindings.bind(&watched.pool, &watched.replica, Arc::clone(&adapter));
                let way = Way { adapter, generation: state.generation };
                state.way = Some(way.clone());
                Some(way)
            }
            Err(reason) => {
                let error = AdapterError::Unreachable { reason }.to_string();
                watched.failed(&mut state.heard, wanted.engine.as_str(), error);
                self.tell(watched, &state);
                None
            }
        }
    }
}
