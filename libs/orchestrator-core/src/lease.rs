//! Slots in use. A lease is made by a dispatch and ends once, by its own attempt's end.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use crate::{ids::LeaseId, job::Priority, pool::ReplicaKey, queue::Place, sessions::Held, time::Timestamp};

/// One slot in use.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// Where the job stood that it was taken for. The job may have ended, and another may stand there: the
    /// slot is still taken until the engine's connection is closed.
    pub(crate) place: Place,
    pub(crate) replica: ReplicaKey,
    pub(crate) since: Timestamp,
    pub(crate) priority: Priority,
    pub(crate) size: u32,
    /// What its job holds of its session.
    pub(crate) held: Option<Held>,
    /// When its job ended, if that was before the attempt let go.
    pub(crate) stopped: Option<Timestamp>,
    /// Why the shell was told to stop its attempt, while its job is alive.
    pub(crate) evicted: Option<Eviction>,
}

/// Why an attempt is stopped for no fault of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// Its replica is drained.
    Drained,
    /// Its replica is gone.
    Gone,
}

impl Lease {
    /// For how long the job used the slot.
    pub(crate) fn used(&self, now: Timestamp) -> Duration {
        self.stopped.unwrap_or(now) - self.since
    }
}

/// What a prediction looks at of a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    lease: LeaseId,
    pub(crate) since: Timestamp,
    pub(crate) size: u32,
    pub(crate) priority: Priority,
    /// Where it stood among the measured times at the last prediction.
    pub(crate) near: u8,
}

/// All slots in use.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    live: HashMap<LeaseId, Lease, BuildHasherDefault<LeaseHasher>>,
    /// Per pool, in the order in which they began. Predictions go over them one by one, so they are small
    /// and stand close together.
    runs: Vec<VecDeque<Run>>,
    next: u64,
}

impl Leases {
    pub(crate) fn open(&mut self, lease: Lease) -> LeaseId {
        self.next += 1;
        let id = LeaseId(self.next);
        let pool = lease.replica.pool;
        if self.runs.len() <= pool {
            self.runs.resize_with(pool + 1, VecDeque::new);
        }
        let Lease { since, size, priority, .. } = lease;
        self.runs[pool].push_back(Run { lease: id, since, size, priority, near: 0 });
        self.live.insert(id, lease);
        id
    }

    /// Ends a lease. `None` when it was ended before: an end that is told twice frees nothing twice.
    pub(crate) fn close(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.live.remove(&id)?;
        let runs = self.runs.get_mut(lease.replica.pool)?;
        if let Ok(at) = runs.binary_search_by_key(&id, |run| run.lease) {
            runs.remove(at);
        }
        Some(lease)
    }

    pub(crate) fn find_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.live.get_mut(&id)
    }

    pub(crate) fn is_live(&self, id: LeaseId) -> bool {
        self.live.contains_key(&id)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.live.values()
    }

    /// What runs in a pool, the oldest first.
    pub(crate) fn runs(&self, pool: usize) -> impl Iterator<Item = &Run> {
        self.runs.get(pool).into_iter().flatten()
    }

    pub(crate) fn runs_mut(&mut self, pool: usize) -> impl Iterator<Item = &mut Run> {
        self.runs.get_mut(pool).into_iter().flatten()
    }

    /// Does this with each lease of a pool, the oldest first.
    pub(crate) fn each_mut(&mut self, pool: usize, mut with: impl FnMut(LeaseId, &mut Lease)) {
        for run in self.runs.get(pool).into_iter().flatten() {
            if let Some(lease) = self.live.get_mut(&run.lease) {
                with(run.lease, lease);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}

/// Spreads the ids of leases over a hash map. They are counted up here and no client chooses one, so that
/// nothing is to be kept secret; a product with an odd number sends no two of a run to the same place.
#[derive(Debug, Clone, Copy, Default)]
struct LeaseHasher(u64);

impl Hasher for LeaseHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(pool: usize, place: Place) -> Lease {
        Lease {
            place,
            replica: ReplicaKey { pool, replica: 0 },
            since: Timestamp::from_micros(u64::from(place)),
            priority: Priority::Batch,
            size: place,
            held: None,
            stopped: None,
            evicted: None,
        }
    }

    #[test]
    fn what_runs_stands_by_pool_and_age_whatever_ends_in_between() {
        let mut leases = Leases::default();
        let ids: Vec<_> = (0..60).map(|place| leases.open(lease(place as usize % 3, place))).collect();
        for at in [0, 59, 30, 3, 31, 57] {
            assert!(leases.close(ids[at]).is_some());
            assert!(leases.close(ids[at]).is_none(), "once");
        }
        let sizes = |pool| leases.runs(pool).map(|run| run.size).collect::<Vec<_>>();
        for pool in 0..3 {
            let left = (0..60).filter(|it| it % 3 == pool && ![0, 59, 30, 3, 31, 57].contains(it));
            assert!(left.eq(sizes(pool as usize)), "{pool}");
        }
        assert_eq!((leases.len(), leases.runs(3).count()), (54, 0));
        let mut seen = Vec::new();
        leases.each_mut(1, |id, lease| seen.push((id, lease.place)));
        assert!(seen.is_sorted() && seen.len() == 19, "{seen:?}");
    }
}
