//! Why a job got the replica that it got, or none: every replica's verdict at that moment.

use crate::{
    breaker::Circuit,
    fit::Misfit,
    ids::{PoolId, ReplicaId},
    time::Timestamp,
    view::Readiness,
};

/// How one choice was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// What decided among those that were open.
    pub rule: Rule,
    /// How many replicas were looked at.
    pub considered: u32,
    /// The first of them, each with its verdict.
    pub candidates: Vec<Candidate>,
}

/// What decided among the replicas that were open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The choice was made before the server started, and why is not known any more.
    Recovered,
    /// The job's session was there last.
    Affinity,
    /// The request prefers its pool; among several such, as below.
    Preferred,
    /// It had the most free VRAM, then the fewest active streams, then the first name.
    LeastLoaded,
    /// It was the next in turn.
    RoundRobin,
    /// A slot of it became free, and it was this job's turn.
    SlotFreed,
    /// None was open: the job waits.
    NoneOpen,
}

impl Rule {
    /// The word for it, as everything outside says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Affinity => "affinity",
            Self::Preferred => "preferred",
            Self::LeastLoaded => "least_loaded",
            Self::RoundRobin => "round_robin",
            Self::SlotFreed => "slot_freed",
            Self::NoneOpen => "none_open",
        }
    }
}

/// One replica, as it stood to the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its pool.
    pub pool: PoolId,
    /// Its name.
    pub replica: ReplicaId,
    /// What speaks for or against it.
    pub verdict: Verdict,
}

/// What speaks for or against a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The job may never run there.
    Misfit(Misfit),
    /// It, or its pool, is drained or is being drained.
    Closed,
    /// It is not Ready.
    NotReady(Readiness),
    /// A stream of it broke, and it was not looked at since.
    Suspect,
    /// It said that it is busy, and gets nothing before this.
    Resting(Timestamp),
    /// Its requests failed too often.
    CircuitOpen(Circuit),
    /// All of its slots are in use.
    Full {
        /// How many that are.
        slots: u32,
    },
    /// It could take the job.
    Open {
        /// Slots in use.
        used: u32,
        /// Slots in all.
        slots: u32,
        /// Free GPU memory; `None` when nobody said.
        vram_free_bytes: Option<u64>,
    },
}
