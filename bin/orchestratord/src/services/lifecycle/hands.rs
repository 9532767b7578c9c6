//! Who does something to a replica: its node's agent, this process, or nobody.

use std::{sync::Arc, time::Duration};

use orchestrator_core::{PoolId, ReplicaId};
use pool_registry_types::{
    DrainPool, OperationKind, OperationState, OperationView, PoolStatus, PurgePool, ReloadPool,
};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Lifecycle;
use crate::{
    adapters,
    services::{
        nodes::{Manager, ManagerError},
        pools::Pools,
    },
};

/// How often an agent is asked how far it is.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// An agent that does not answer for so long while it works is lost.
const AGENT_SILENCE_MAX: Duration = Duration::from_secs(30);

pub(super) type Key = (PoolId, ReplicaId);

/// A replica, and who acts on it.
#[derive(Clone)]
pub(super) struct Hand {
    pub(super) key: Key,
    pub(super) of: HandOf,
}

/// Who acts on a replica.
#[derive(Clone)]
pub(super) enum HandOf {
    /// The agent of its node.
    Agent(Box<Manager>),
    /// This process, in which the engine runs.
    Process(Arc<Pools>),
    /// Nobody: the operator attached an engine that runs by itself.
    Nobody,
}

impl Lifecycle {
    /// The replicas of a pool, in the order of their names.
    pub(super) async fn hands(&self, pool: &PoolId) -> Vec<Hand> {
        let mut hands = Vec::new();
        for key in self.parts.pools.replicas_of(pool) {
            hands.push(Hand { of: self.hand_of(&key).await, key });
        }
        hands
    }

    async fn hand_of(&self, key: &Key) -> HandOf {
        match self.parts.nodes.manager_of(key).await {
            Some(manager) => HandOf::Agent(Box::new(manager)),
            None if self.parts.pools.is_in_process(key) => HandOf::Process(Arc::clone(&self.parts.pools)),
            None => HandOf::Nobody,
        }
    }
}

impl Hand {
    pub(super) fn is_nobody(&self) -> bool {
        matches!(self.of, HandOf::Nobody)
    }

    fn pool(&self) -> &str {
        self.key.0.as_str()
    }

    /// Tells the agent that the pool is drained; nothing depends on its answer, since nothing is sent there.
    pub(super) async fn drain(&self, wanted: &DrainPool) {
        if let HandOf::Agent(agent) = &self.of {
            self.note(agent.operate(self.pool(), OperationKind::Drain, wanted).await.map(drop));
        }
    }

    pub(super) async fn resume(&self) {
        if let HandOf::Agent(agent) = &self.of {
            self.note(agent.resume(self.pool()).await);
        }
    }

    fn note(&self, told: Result<(), ManagerError>) {
        if let Err(error) = told {
            let (pool_id, replica_id) = &self.key;
            warn!(target: "orchestratord::lifecycle", %pool_id, %replica_id, %error, "the node was not told");
        }
    }

    pub(super) async fn purge(&self, wanted: &PurgePool) -> Result<(), String> {
        match &self.of {
            HandOf::Agent(agent) => self.work(agent, OperationKind::Purge, wanted).await,
            // It has nothing on any disk.
            HandOf::Process(_) => Ok(()),
            HandOf::Nobody => Err("nobody manages this engine".to_owned()),
        }
    }

    /// The model that it has, as whoever acts on it calls it.
    pub(super) async fn model(&self) -> Option<String> {
        match &self.of {
            HandOf::Agent(agent) => agent.status(self.pool()).await.ok()?.model_ref,
            HandOf::Process(pools) => pools.model_of(&self.key),
            HandOf::Nobody => None,
        }
    }

    /// Gives the replica another model. When this returns `Err`, it has the one that it had, or none.
    pub(super) async fn reload(&self, wanted: &ReloadPool) -> Result<(), String> {
        match &self.of {
            HandOf::Agent(agent) => self.work(agent, OperationKind::Reload, wanted).await,
            HandOf::Process(pools) => {
                let model = wanted.new_model_ref.as_str();
                pools.replace(&self.key, adapters::in_process(model), model);
                Ok(())
            }
            HandOf::Nobody => Err("nobody manages this engine".to_owned()),
        }
    }

    /// Has the agent do something, and waits until it has.
    async fn work<T: serde::Serialize + Sync>(
        &self,
        agent: &Manager,
        kind: OperationKind,
        body: &T,
    ) -> Result<(), String> {
        let begun = agent.operate(self.pool(), kind, body).await.map_err(|error| error.to_string())?;
        let id = begun.operation.operation_id;
        let mut heard_at = Instant::now();
        loop {
            match agent.status(self.pool()).await {
                Ok(PoolStatus { operation: Some(view), .. }) if view.operation_id == id => {
                    heard_at = Instant::now();
                    if let Some(outcome) = outcome(view) {
                        return outcome;
                    }
                }
                // Another life of the agent: what it had begun was undone by its start.
                Ok(_) => return Err("the node's agent started anew in the middle of it".to_owned()),
                Err(error) if heard_at.elapsed() > AGENT_SILENCE_MAX => return Err(error.to_string()),
                Err(_) => {}
            }
            sleep(ASK_INTERVAL).await;
        }
    }
}

fn outcome(view: OperationView) -> Option<Result<(), String>> {
    match view.state {
        OperationState::Running => None,
        OperationState::Succeeded => Some(Ok(())),
        OperationState::Failed => Some(Err(view.error.unwrap_or_else(|| "it did not say why".to_owned()))),
    }
}
