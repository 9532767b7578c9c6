//! What is heard of replicas, and what is told of pools and jobs.

use super::Scheduler;
use crate::{
    breaker::Breaker,
    ids::{JobId, PoolId, ReplicaId, SessionId},
    job::{JobState, Priority},
    lease::Eviction,
    operation::Closed,
    pool::{Pool, PoolSummary, Presence, Replica, ReplicaKey, ReplicaSummary},
    sessions::{SessionRecord, SessionView},
    time::Timestamp,
    view::{Readiness, ReplicaView},
};

impl Scheduler {
    pub(super) fn replica_seen(&mut self, now: Timestamp, view: ReplicaView) {
        let pool = self.pool_named(view.pool.clone());
        let replicas = &mut self.pools[pool].replicas;
        let known = replicas.iter().position(|it| it.view.replica == view.replica);
        // A replica that left and whose last attempt has ended leaves its place to a new one.
        let place = known.or_else(|| replicas.iter().position(|it| !it.exists() && it.used == 0));
        // One that was not there may be all that is left for a job, and its pool may be drained.
        let (mut serves_other_jobs, mut does_the_same) = (true, false);
        let replica = match place {
            Some(index) => {
                let replica = &mut replicas[index];
                // Of one that was never heard of, nothing was known to the jobs that hoped for it.
                let speaks_first =
                    replica.view.readiness == Readiness::Unseen && view.readiness != Readiness::Unseen;
                serves_other_jobs = speaks_first || !replica.exists() || !replica.view.serves_like(&view);
                does_the_same = replica.view.does_the_same(&view);
                if !replica.exists() {
                    // What a replica that left had asked for does not bind its successor.
                    replica.rests_until = Timestamp::default();
                    replica.breaker = Breaker::default();
                }
                replica.view = view;
                replica.presence = Presence::Here;
                index
            }
            None => {
                replicas.push(Replica::new(view));
                replicas.len() - 1
            }
        };
        if !does_the_same {
            self.pools[pool].find_likes();
        }
        self.pools[pool].count();
        self.fill(now, ReplicaKey { pool, replica });
        if serves_other_jobs {
            self.end_hopeless(now);
        }
    }

    pub(super) fn replica_gone(&mut self, now: Timestamp, pool: &PoolId, replica: &ReplicaId) {
        let Some(pool) = self.pool_index(pool) else { return };
        let replicas = &mut self.pools[pool].replicas;
        let Some(index) = replicas.iter().position(|it| it.exists() && it.view.replica == *replica) else {
            return;
        };
        replicas[index].presence = Presence::Gone;
        self.pools[pool].count();
        let key = ReplicaKey { pool, replica: index };
        self.evict(Eviction::Gone, pool, |at| at == key);
        self.end_hopeless(now);
    }

    pub(super) fn pool_index(&self, id: &PoolId) -> Option<usize> {
        self.pools.iter().position(|pool| pool.id == *id)
    }

    /// The pool of this name, which is new if need be.
    pub(super) fn pool_named(&mut self, id: PoolId) -> usize {
        self.pool_index(&id).unwrap_or_else(|| {
            self.pools.push(Pool::new(id));
            self.pools.len() - 1
        })
    }

    /// All pools that exist, in the order in which they were first seen.
    pub fn pools(&self) -> Vec<PoolSummary> {
        self.pools.iter().filter(|pool| pool.exists()).map(summary).collect()
    }

    /// How many jobs wait in each pool that exists, interactive ones first.
    pub fn waiting(&self) -> impl Iterator<Item = (&PoolId, [u32; 2])> {
        self.pools.iter().filter(|pool| pool.exists()).map(|pool| (&pool.id, pool.waiting_by_class()))
    }

    /// Jobs ahead of a waiting job, over both classes; `None` when it does not wait.
    pub fn queue_position(&self, job: JobId) -> Option<u32> {
        let place = self.jobs.find(job)?;
        let record = &self.jobs[place];
        if record.state != JobState::Queued {
            return None;
        }
        let pool = &self.pools[record.pool];
        let earlier = match record.job.priority {
            Priority::Interactive => 0,
            Priority::Batch => pool.lines[0].len,
        };
        let line = &pool.lines[record.job.priority.index()];
        Some(earlier + self.jobs.ahead(line, place))
    }

    /// A session as it stands; `None` when there is none of this id.
    pub fn session(&self, now: Timestamp, id: SessionId) -> Option<SessionView> {
        self.sessions.view(now, id)
    }

    /// What must outlive the process of a session; `None` when there is none of this id.
    pub fn session_record(&self, now: Timestamp, id: SessionId) -> Option<SessionRecord> {
        self.sessions.record(now, id)
    }

    /// Whether no job is alive and no slot is taken.
    pub fn is_idle(&self) -> bool {
        self.jobs.len() == 0 && self.leases.len() == 0
    }
}

fn summary(pool: &Pool) -> PoolSummary {
    let replicas = pool.replicas.iter().filter(|replica| replica.exists());
    let closed = |used: u32| if used == 0 { Closed::Drained } else { Closed::Draining };
    PoolSummary {
        pool: pool.id.clone(),
        waiting: pool.waiting_by_class(),
        running: pool.used(),
        operation: pool.operation,
        closed: pool.holds.iter().any(|hold| hold.replica.is_none()).then(|| closed(pool.used())),
        replicas: replicas
            .map(|it| ReplicaSummary {
                view: it.view.clone(),
                slots_used: it.used,
                closed: pool.closes(it).then(|| closed(it.used)),
                circuit: it.breaker.circuit(),
            })
            .collect(),
    }
}
