//! What operators do with pools, in the same order of steps as dispatch: begin, close, open, settle.

use super::{Due, Scheduler};
use crate::{
    effect::Effect,
    ids::{PoolId, ReplicaId},
    lease::Eviction,
    operation::{Hold, Operation, OperationKind, OperationRefusal, Patience},
    pool::{Pool, ReplicaKey},
    queue::Prospect,
    time::Timestamp,
};

impl Scheduler {
    /// Begins an operation, if it is the only one of its pool.
    //= ORCH-3031
    pub(super) fn begin(&mut self, now: Timestamp, id: PoolId, operation: Operation) {
        let known = self.pool_index(&id).filter(|index| self.pools[*index].exists());
        let Some(index) = known else {
            return self.effects.push(Effect::Refused(id, OperationRefusal::UnknownPool));
        };
        let Operation { kind, deadline } = operation;
        if let Some(refusal) = refusal(&self.pools[index], operation) {
            return self.effects.push(Effect::Refused(id, refusal));
        }
        self.pools[index].operation = Some(kind);
        self.effects.push(Effect::Began(id, kind));
        match kind {
            OperationKind::Drain => self.close(now, index, None, deadline),
            // Nothing runs, so that there is nothing to wait for.
            OperationKind::Purge => self.close(now, index, None, Some(deadline.unwrap_or(now))),
            OperationKind::Reload => {}
        }
    }

    /// Closes a pool or a replica. One that is closed already keeps the earlier deadline.
    //= ORCH-2101
    pub(super) fn close(
        &mut self,
        now: Timestamp,
        index: usize,
        replica: Option<ReplicaId>,
        deadline: Option<Timestamp>,
    ) {
        let Self { pools, due, .. } = self;
        let holds = &mut pools[index].holds;
        match holds.iter_mut().find(|hold| hold.replica == replica) {
            Some(hold) => {
                if let Some(deadline) = hold.deadline() {
                    due.remove(&(deadline, Due::Emptied(index)));
                }
                hold.patience = hold.patience.min(deadline.into());
                hold.told = false;
            }
            None => holds.push(Hold { replica, patience: deadline.into(), told: false }),
        }
        pools[index].count();
        self.expire_holds(now, index, now);
        self.set_timers(index);
        self.tell_drained(index);
    }

    /// Lets a pool or a replica take work again; what waits gets its free slots.
    pub(super) fn open(&mut self, now: Timestamp, id: &PoolId, replica: Option<&ReplicaId>) {
        let Some(index) = self.pool_index(id) else { return };
        let holds = &mut self.pools[index].holds;
        let Some(at) = holds.iter().position(|hold| hold.replica.as_ref() == replica) else { return };
        let hold = holds.remove(at);
        self.pools[index].count();
        if let Some(deadline) = hold.deadline() {
            self.due.remove(&(deadline, Due::Emptied(index)));
            self.set_timers(index);
        }
        for place in 0..self.pools[index].replicas.len() {
            if hold.covers(&self.pools[index].replicas[place].view.replica) {
                self.fill(now, ReplicaKey { pool: index, replica: place });
            }
        }
    }

    /// The operation of a pool is over.
    pub(super) fn settle(&mut self, now: Timestamp, id: &PoolId) {
        let Some(index) = self.pool_index(id) else { return };
        if self.pools[index].operation.take() != Some(OperationKind::Reload) {
            return;
        }
        // What its jobs once counted on may have been replaced, for those that wait and for those that
        // will wait again.
        let places: Vec<_> = self.jobs.all().filter(|place| self.jobs[*place].pool == index).collect();
        for place in places {
            self.jobs[place].prospect = Prospect::Doubtful;
        }
        self.end_hopeless(now);
    }

    /// Evicts what still runs where the deadline was by `until`, and ends who waits for it in vain.
    pub(super) fn expire_holds(&mut self, now: Timestamp, index: usize, until: Timestamp) {
        let mut expired = Vec::new();
        for hold in &mut self.pools[index].holds {
            if hold.deadline().is_some_and(|deadline| deadline <= until) {
                hold.patience = Patience::Over;
                expired.push(hold.replica.clone());
            }
        }
        let Some(whole) = (!expired.is_empty()).then(|| expired.contains(&None)) else { return };
        let replicas = self.pools[index].replicas.iter().enumerate();
        let emptied: Vec<_> = replicas
            .filter(|(_, it)| whole || expired.contains(&Some(it.view.replica.clone())))
            .map(|(replica, _)| ReplicaKey { pool: index, replica })
            .collect();
        self.evict(Eviction::Drained, index, |at| emptied.contains(&at));
        if whole {
            self.end_hopeless(now);
        }
    }

    /// Has the attempts of a pool stopped that run there, as far as their jobs are alive.
    //= ORCH-3422
    pub(super) fn evict(&mut self, why: Eviction, pool: usize, there: impl Fn(ReplicaKey) -> bool) {
        let Self { leases, jobs, effects, .. } = self;
        leases.each_mut(pool, |id, lease| {
            if !there(lease.replica) || !jobs.holds(lease.place, id) {
                return;
            }
            if lease.evicted.is_none() {
                effects.push(Effect::Evict(id));
            }
            // That its replica is gone weighs more than that it was drained before.
            if lease.evicted != Some(Eviction::Gone) {
                lease.evicted = Some(why);
            }
        });
    }

    /// Says of each scope that was closed that it is empty, when it is.
    pub(super) fn tell_drained(&mut self, index: usize) {
        let pool = &mut self.pools[index];
        for at in 0..pool.holds.len() {
            if !pool.holds[at].told && pool.used_under(&pool.holds[at]) == 0 {
                pool.holds[at].told = true;
                self.effects.push(Effect::Drained(pool.id.clone(), pool.holds[at].replica.clone()));
            }
        }
    }

    fn set_timers(&mut self, index: usize) {
        let deadlines = self.pools[index].holds.iter().filter_map(Hold::deadline);
        self.due.extend(deadlines.map(|deadline| (deadline, Due::Emptied(index))));
    }
}

/// Why an operation may not begin in a pool that exists.
fn refusal(pool: &Pool, operation: Operation) -> Option<OperationRefusal> {
    let again = operation.kind == OperationKind::Drain && pool.operation == Some(OperationKind::Drain);
    if let Some(other) = pool.operation.filter(|_| !again) {
        return Some(OperationRefusal::Busy(other));
    }
    let running = pool.used();
    let waits_for_nobody = operation.kind == OperationKind::Purge && operation.deadline.is_none();
    (waits_for_nobody && running > 0).then_some(OperationRefusal::Running(running))
}
