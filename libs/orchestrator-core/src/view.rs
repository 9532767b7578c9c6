//! A replica as it was last seen: what a decision about it may look at.

use std::sync::Arc;

use crate::ids::{PoolId, ReplicaId};

/// Where an engine computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// Nobody said; the operator's word that it is a GPU is taken.
    Unstated,
    /// On the CPU.
    Cpu,
    /// On these GPUs, as in "0,1".
    Mask(Arc<str>),
}

impl Device {
    pub(crate) fn has_mask(&self, wanted: &str) -> bool {
        match self {
            Self::Unstated => false,
            Self::Cpu => wanted == "cpu",
            Self::Mask(mask) => **mask == *wanted,
        }
    }
}

/// Whether a replica may get work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It has never answered.
    Unseen,
    /// It serves.
    Ready,
    /// It serves what it has, and takes nothing new.
    Draining,
    /// It answered once and does not answer now.
    Unreachable,
}

/// A replica as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaView {
    /// The pool it belongs to.
    pub pool: PoolId,
    /// Its name in the pool.
    pub replica: ReplicaId,
    /// Its engine's name.
    pub engine: Arc<str>,
    /// Every name by which a request may call its model.
    pub models: Vec<Arc<str>>,
    /// How many streams it serves at once.
    pub slots: u32,
    /// Tokens of context of one stream; `None` when nobody said.
    pub ctx_max: Option<u32>,
    /// Free GPU memory; `None` when nobody said.
    pub vram_free_bytes: Option<u64>,
    /// Where it computes.
    pub device: Device,
    /// Whether it may get work.
    pub readiness: Readiness,
}

impl ReplicaView {
    /// Whether the same jobs fit `other`, room aside.
    pub(crate) fn serves_like(&self, other: &Self) -> bool {
        self.models == other.models
            && self.engine == other.engine
            && self.ctx_max == other.ctx_max
            && self.device == other.device
    }
}
