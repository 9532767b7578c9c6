//! What an operator does with a pool: one thing at a time, in the same order of steps as its jobs.

use crate::{ids::ReplicaId, time::Timestamp};

/// A kind of operation on a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// It takes nothing new, and is empty at the end.
    Drain,
    /// It gets another model, replica by replica, and serves on meanwhile.
    Reload,
    /// Its engine goes.
    Purge,
}

impl OperationKind {
    /// Its name in answers, logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Reload => "reload",
            Self::Purge => "purge",
        }
    }
}

/// An operation on a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// What is to be done.
    pub kind: OperationKind,
    /// When what still runs in a drained or purged pool is evicted. Without one a drain takes as long as
    /// it takes, and a purge begins only when nothing runs. A reload has its deadlines step by step.
    pub deadline: Option<Timestamp>,
}

/// Why an operation does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationRefusal {
    /// There is no such pool.
    UnknownPool,
    /// Another one is under way.
    Busy(OperationKind),
    /// So many slots are in use, and nobody said that they may be taken away.
    Running(u32),
}

/// How far the closing of a pool or a replica has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Something still runs there.
    Draining,
    /// No slot is in use.
    Drained,
}

/// For how long what still runs in a closed scope may go on. Ordered: the first ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Patience {
    /// No longer: it was evicted.
    Over,
    /// Until then.
    Until(Timestamp),
    /// To its own end.
    Endless,
}

impl From<Option<Timestamp>> for Patience {
    fn from(deadline: Option<Timestamp>) -> Self {
        deadline.map_or(Self::Endless, Self::Until)
    }
}

/// That a pool, or a replica of it, takes nothing new.
///
/// It stands for the name: it outlives a replica that leaves, and binds one that comes under that name.
#[derive(Debug)]
pub(crate) struct Hold {
    /// The replica; the whole pool without it.
    pub(crate) replica: Option<ReplicaId>,
    pub(crate) patience: Patience,
    /// Whether it was said that nothing runs there any more.
    pub(crate) told: bool,
}

impl Hold {
    /// When what runs there is to be evicted, if that is still to come.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self.patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::Over | Patience::Endless => None,
        }
    }

    pub(crate) fn covers(&self, replica: &ReplicaId) -> bool {
        self.replica.as_ref().is_none_or(|name| name == replica)
    }
}
