//! Slots in use. A lease is made by a dispatch and ends once, by its own attempt's end.

use std::collections::BTreeMap;

use crate::{
    ids::{JobId, LeaseId},
    job::Priority,
    pool::ReplicaKey,
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

    pub(crate) fn is_live(&self, id: LeaseId) -> bool {
        self.live.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.live.iter().map(|(id, lease)| (*id, lease))
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
