//! Which job gets which slot.

use super::Scheduler;
use crate::{
    effect::{Assignment, Effect},
    fit::{self, Requirements, Tried},
    job::{JobState, JobStep, Priority},
    lease::Lease,
    pool::{Replica, ReplicaKey},
    queue::Place,
    time::Timestamp,
};

impl Scheduler {
    /// A replica with room that may run such a job: preferred pools first, then by placement.
    pub(super) fn choose_free(
        &mut self,
        now: Timestamp,
        requirements: &Requirements,
        tried: &[Tried],
    ) -> Option<ReplicaKey> {
        let Self { pools, placement, rules, .. } = self;
        let free = || {
            pools.iter().enumerate().flat_map(|(pool, each)| {
                let keyed = each.replicas.iter().enumerate();
                keyed.map(move |(replica, it)| (ReplicaKey { pool, replica }, it))
            })
        };
        let fits = |replica: &Replica| {
            replica.has_room(now) && fit::check(requirements, tried, &replica.view, rules.gpu).is_ok()
        };
        let prefer = &requirements.prefer_pools;
        if !prefer.is_empty() {
            let preferred = free().filter(|(_, it)| prefer.contains(&it.view.pool) && fits(it));
            if let Some(key) = placement.choose(preferred) {
                return Some(key);
            }
        }
        placement.choose(free().filter(|(_, it)| fits(it)))
    }

    /// Gives the free slots of a replica to jobs that wait.
    pub(super) fn fill(&mut self, now: Timestamp, key: ReplicaKey) {
        while self.pools[key.pool].replicas[key.replica].has_room(now) {
            let Some(place) = self.next_for(key) else { return };
            let home = self.jobs[place].pool;
            self.pools[home].starters.started();
            self.leave_line(place);
            self.dispatch(now, place, key);
        }
    }

    /// The job that a replica takes next: interactive before batch, then its own pool's before
    /// another's, then the oldest.
    //= ORCH-3004
    fn next_for(&self, key: ReplicaKey) -> Option<Place> {
        let view = &self.pools[key.pool].replicas[key.replica].view;
        let first_fit = |index: usize, priority: Priority| {
            self.jobs.in_line(&self.pools[index].lines[priority.index()]).find(|place| {
                let record = &self.jobs[*place];
                fit::check(&record.job.requirements, &record.tried, view, self.rules.gpu).is_ok()
            })
        };
        Priority::ALL.into_iter().find_map(|priority| {
            first_fit(key.pool, priority).or_else(|| {
                let others = (0..self.pools.len()).filter(|&index| index != key.pool);
                others
                    .filter_map(|index| first_fit(index, priority))
                    .min_by_key(|place| self.jobs[*place].rank)
            })
        })
    }

    pub(super) fn leave_line(&mut self, place: Place) {
        let record = &self.jobs[place];
        let (pool, class) = (record.pool, record.job.priority.index());
        self.jobs.leave(&mut self.pools[pool].lines[class], place);
    }

    /// Takes a slot for a job that stands in no line.
    pub(super) fn dispatch(&mut self, now: Timestamp, place: Place, key: ReplicaKey) {
        let record = &mut self.jobs[place];
        let lease = self.leases.open(Lease {
            job: record.job.id,
            replica: key,
            since: now,
            priority: record.job.priority,
            size: record.job.size,
        });
        if !step(&mut record.state, JobStep::Dispatch(lease)) {
            return;
        }
        record.attempts += 1;
        record.pool = key.pool;
        let replica = &mut self.pools[key.pool].replicas[key.replica];
        replica.used += 1;
        replica.breaker.starts(lease);
        self.effects.push(Effect::Dispatch(Assignment {
            job: record.job.id,
            lease,
            pool: replica.view.pool.clone(),
            replica: replica.view.replica.clone(),
            attempt: record.attempts,
        }));
    }
}

/// Moves a state. An illegal step is a bug: it stops a test, and in production changes nothing.
pub(super) fn step(state: &mut JobState, step: JobStep) -> bool {
    match state.step(step) {
        Ok(next) => {
            *state = next;
            true
        }
        Err(illegal) => {
            debug_assert!(false, "{illegal}");
            false
        }
    }
}
