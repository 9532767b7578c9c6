//! A replica as it was last seen: what a decision about it may look at.

use std::sync::Arc;

use crate::{
    fit::Workload,
    ids::{PoolId, ReplicaId},
};

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
    /// The kinds of work that it does.
    pub workloads: Vec<Workload>,
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
    /// What a million tokens cost, in millionths of the unit in which budgets are counted.
    pub price: u64,
}

impl ReplicaView {
    /// A Ready replica that makes text with this model, one stream at a time, and of which nothing else
    /// is known.
    pub fn ready(pool: PoolId, replica: ReplicaId, model: impl Into<Arc<str>>) -> Self {
        Self {
            pool,
            replica,
            engine: "mock".into(),
            models: vec![model.into()],
            workloads: vec![Workload::Completion],
            slots: 1,
            ctx_max: None,
            vram_free_bytes: None,
            device: Device::Unstated,
            readiness: Readiness::Ready,
            price: 0,
        }
    }

    /// Whether the same jobs fit `other`, room aside.
    pub(crate) fn serves_like(&self, other: &Self) -> bool {
        self.models == other.models
            && self.workloads == other.workloads
            && self.engine == other.engine
            && self.ctx_max == other.ctx_max
            && self.device == other.device
    }
}
