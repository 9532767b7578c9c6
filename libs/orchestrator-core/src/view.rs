//! A replica as it was last seen: what a decision about it may look at.

use std::sync::Arc;

use crate::{
    fit::Workload,
    ids::{NodeId, PoolId, ReplicaId},
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
    /// Nothing is heard of its node.
    Offline,
    /// It may not be used: its model's digest or its engine's version is not what it must be.
    Barred,
}

impl Readiness {
    /// Whether nobody answers there.
    pub(crate) const fn is_silent(self) -> bool {
        matches!(self, Self::Unreachable | Self::Offline)
    }
}

/// Whether a replica has its model in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loaded {
    /// It has: its free memory says nothing about the weights.
    #[default]
    Yes,
    /// It will load it first.
    No,
}

/// A replica as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaView {
    /// The pool it belongs to.
    pub pool: PoolId,
    /// Its name in the pool.
    pub replica: ReplicaId,
    /// The node that it runs on; `None` when it was attached directly.
    pub node: Option<NodeId>,
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
    /// GPU memory in all; `None` when nobody said.
    pub vram_total_bytes: Option<u64>,
    /// Whether its model is in memory already.
    pub loaded: Loaded,
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
            node: None,
            engine: "mock".into(),
            models: vec![model.into()],
            workloads: vec![Workload::Completion],
            slots: 1,
            ctx_max: None,
            vram_free_bytes: None,
            vram_total_bytes: None,
            loaded: Loaded::Yes,
            device: Device::Unstated,
            readiness: Readiness::Ready,
            price: 0,
        }
    }

    /// The memory that a job may need here; `None` when nothing is known, and on a CPU.
    ///
    /// A model that is loaded has its weights out of the free memory already, so what counts is the whole
    /// device: a need beyond that spills to the CPU. One that is not loaded yet must find room.
    pub(crate) fn memory(&self) -> Option<u64> {
        match (&self.device, self.loaded) {
            (Device::Cpu, _) => None,
            (_, Loaded::Yes) => self.vram_total_bytes.or(self.vram_free_bytes),
            (_, Loaded::No) => self.vram_free_bytes.or(self.vram_total_bytes),
        }
    }

    /// Whether `other` does the same work with the same models, on devices that are called the same.
    pub(crate) fn does_the_same(&self, other: &Self) -> bool {
        self.models == other.models
            && self.workloads == other.workloads
            && self.engine == other.engine
            && self.device == other.device
    }

    /// Whether the same jobs fit `other`, room aside.
    pub(crate) fn serves_like(&self, other: &Self) -> bool {
        self.does_the_same(other)
            && self.node == other.node
            && self.memory() == other.memory()
            && self.ctx_max == other.ctx_max
    }
}
