//! What is done to pools as a whole: operations, scopes that empty, and attempts on nodes that went silent.

use std::{collections::HashMap, time::Duration};

use orchestrator_core::{Event, LeaseId, Operation, OperationRefusal, PoolId, ReplicaId, Timestamp};
use tokio::sync::oneshot;

use super::{
    super::command::{Begun, Scope, Silence},
    Owner, Running,
};

/// Who waits for what is done to pools.
#[derive(Default)]
pub(super) struct Upkeep {
    begun: HashMap<PoolId, Result<(), OperationRefusal>>,
    emptied: HashMap<Scope, Vec<oneshot::Sender<()>>>,
}

impl Upkeep {
    /// The scheduler has let an operation begin, or not.
    pub(super) fn answered(&mut self, pool: PoolId, answer: Result<(), OperationRefusal>) {
        self.begun.insert(pool, answer);
    }

    /// Nothing runs in a scope any more.
    pub(super) fn emptied(&mut self, scope: &Scope) {
        for waiting in self.emptied.remove(scope).unwrap_or_default() {
            // Who waited may have gone.
            waiting.send(()).ok();
        }
    }

    fn wait_for(&mut self, scope: Scope) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let waiting = self.emptied.entry(scope).or_default();
        waiting.retain(|other| !other.is_closed());
        waiting.push(tell);
        told
    }
}

impl Owner {
    /// Lets an operation begin, unless another one is under way.
    pub(super) fn begin(&mut self, pool: &PoolId, operation: Operation) -> Begun {
        let emptied = self.upkeep.wait_for((pool.clone(), None));
        self.apply(Event::Begin { pool: pool.clone(), operation });
        let answer = self.upkeep.begun.remove(pool);
        answer.unwrap_or(Err(OperationRefusal::UnknownPool)).map(|()| emptied)
    }

    /// Closes a scope; the receiver hears when nothing runs there any more.
    pub(super) fn close(&mut self, scope: Scope, deadline: Timestamp) -> oneshot::Receiver<()> {
        let emptied = self.upkeep.wait_for(scope.clone());
        let (pool, replica) = scope;
        self.apply(Event::Close { pool, replica, deadline });
        emptied
    }

    /// Stops an attempt whose slot is needed.
    pub(super) fn evict(&self, lease: LeaseId) {
        if let Some(attempt) = self.running.get(&lease) {
            attempt.stop_word.evict();
            attempt.task.abort();
        }
    }

    /// Thinks about the streams of a node that is silent: tokens that flow outrank heartbeats that do not.
    //= ORCH-3423
    pub(super) fn node_is_silent(&mut self, replicas: &[(PoolId, ReplicaId)], silence: Silence) {
        let now = self.parts.clock.now();
        for attempt in self.running.values_mut() {
            let is_there =
                |(pool, replica): &(PoolId, ReplicaId)| *pool == attempt.pool && *replica == attempt.replica;
            if !replicas.iter().any(is_there) {
                continue;
            }
            let quiet_for = attempt.quiet_for(now);
            if matches!(silence, Silence::Certain(quiet_max) if quiet_for >= quiet_max) {
                attempt.stop_word.lose();
                attempt.task.abort();
            }
        }
    }
}

impl Running {
    /// For how long nothing was heard of the attempt, as far as anybody has listened.
    fn quiet_for(&mut self, now: Timestamp) -> Duration {
        let length = self.entry.log.len();
        match self.heard {
            Some((before, since)) if before == length => now.since(since),
            _ => {
                self.heard = Some((length, now));
                Duration::ZERO
            }
        }
    }
}
