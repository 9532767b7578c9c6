//! Slots in use. A lease is made by a dispatch and ends once, by its own attempt's end.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ids::{JobId, LeaseId},
    job::Priority,
    pool::ReplicaKey,
    sessions::Held,
    time::Timestamp,
};

/// One slot in use.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// The job that it was taken for. The job may have ended: the slot is still taken until
    /// the engine's connection is closed.
    pub(crate) job: JobId,
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

/// All slots in use.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    live: BTreeMap<LeaseId, Lease>,
    next: u64,
}

impl Leases {
    pub(crate) fn open(&mut self, lease: Lease) -> LeaseId {
        self.next += 1;
        let id = LeaseId(self.next);
        self.live.insert(id, lease);
        id
    }

    /// Ends a lease. `None` when it was ended before: an end that is told twice frees nothing twice.
    pub(crate) fn close(&mut self, id: LeaseId) -> Option<Lease> {
        self.live.remove(&id)
    }

    pub(crate) fn find_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        self.live.get_mut(&id)
    }

    pub(crate) fn is_live(&self, id: LeaseId) -> bool {
        self.live.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.live.iter().map(|(id, lease)| (*id, lease))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (LeaseId, &mut Lease)> {
        self.live.iter_mut().map(|(id, lease)| (*id, lease))
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
