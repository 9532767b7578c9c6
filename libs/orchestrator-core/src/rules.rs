//! What the operator decided: the few choices that change the scheduler's answers.

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
}
