//! What the operator decided: the few choices that change the scheduler's answers.

use std::time::Duration;

use crate::sessions::Budget;

/// What to do with a newcomer when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdmissionPolicy {
    /// Turn it away.
    #[default]
    Reject,
    /// Let the oldest waiting batch job make room; an interactive one only for an interactive one.
    DropLru,
}

/// Whether engines may compute on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GpuPolicy {
    /// Never.
    #[default]
    VramOnly,
    /// For development.
    AllowCpu,
}

/// How to choose among replicas that have room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlacementKind {
    /// Each in turn.
    RoundRobin,
    /// The one with the most free VRAM, then with the fewest active streams, then by name.
    #[default]
    LeastLoaded,
}

/// How long sessions last, and what they may use unless their first job says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRules {
    /// How long a session is kept after its last job.
    pub ttl: Duration,
    /// How many jobs it may have.
    pub turns: u32,
    /// How many sessions there may be.
    pub max: usize,
    /// What each may use.
    pub budget: Budget,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self { ttl: Duration::from_mins(10), turns: 8, max: 100_000, budget: Budget::default() }
    }
}

/// What the operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Waiting jobs of one pool, both classes together.
    pub capacity: u32,
    /// What happens at that bound.
    pub policy: AdmissionPolicy,
    /// How replicas are chosen.
    pub placement: PlacementKind,
    /// Where engines may compute.
    pub gpu: GpuPolicy,
    /// What sessions may do.
    pub sessions: SessionRules,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            capacity: 100,
            policy: AdmissionPolicy::default(),
            placement: PlacementKind::default(),
            gpu: GpuPolicy::default(),
            sessions: SessionRules::default(),
        }
    }
}
