//! Which replicas may run which job, apart from whether they have room now.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    ids::{NodeId, PoolId, ReplicaId},
    rules::GpuPolicy,
    view::{Device, ReplicaView},
};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Workload {
    /// Text goes on.
    #[default]
    Completion,
    /// Text becomes a vector.
    Embedding,
    /// Texts are put in order.
    Rerank,
}

impl Workload {
    /// Its name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Rerank => "rerank",
        }
    }
}

/// What a job asks of the replica that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// One of the names by which the replica knows its model.
    pub model: Arc<str>,
    /// What is to be done.
    pub workload: Workload,
    /// The engine, if the client chose one.
    pub engine: Option<Arc<str>>,
    /// Tokens of context: prompt estimate and `max_tokens` together, or what the client named.
    pub ctx: u32,
    /// The only pool that may run it.
    pub pin_pool: Option<PoolId>,
    /// The only node that may run it.
    pub pin_node: Option<NodeId>,
    /// Pools to be taken first.
    pub prefer_pools: Vec<PoolId>,
    /// Pools that never run it.
    pub avoid_pools: Vec<PoolId>,
    /// The device mask that the replica must have.
    pub device_mask: Option<Arc<str>>,
    /// GPU memory for the weights and this job's context, in bytes; `None` when nobody knows.
    pub vram_need: Option<u64>,
}

impl Requirements {
    /// Any replica that serves `model` with `ctx` tokens of context.
    pub fn of(model: impl Into<Arc<str>>, ctx: u32) -> Self {
        Self {
            model: model.into(),
            workload: Workload::default(),
            engine: None,
            ctx,
            pin_pool: None,
            pin_node: None,
            prefer_pools: Vec::new(),
            avoid_pools: Vec::new(),
            device_mask: None,
            vram_need: None,
        }
    }
}

/// Why a replica may not run a job. Ordered: a later one came nearer to fitting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Misfit {
    /// The job is pinned to another pool.
    #[error("the job is pinned to another pool")]
    PinnedElsewhere,
    /// The job is pinned to another node.
    #[error("the job is pinned to another node")]
    OtherNode,
    /// The replica serves another model.
    #[error("it serves another model")]
    Model,
    /// The replica does no such work.
    #[error("it does no such work")]
    Workload,
    /// The replica is another engine.
    #[error("it is another engine")]
    Engine,
    /// The client ruled this pool out.
    #[error("the request avoids this pool")]
    Avoided,
    /// The replica runs on other devices.
    #[error("it has another device mask")]
    DeviceMask,
    /// The replica runs on a CPU and the policy forbids that.
    #[error("it runs on a CPU, and the policy is vram-only")]
    CpuForbidden,
    /// The job needs more context than the replica has.
    #[error("it has {limit} tokens of context")]
    Context {
        /// What the replica has.
        limit: u32,
    },
    /// The job needs more memory than the replica has.
    #[error("it has {have} bytes of GPU memory, and the job needs {need}")]
    Vram {
        /// What the job needs.
        need: u64,
        /// What the replica has.
        have: u64,
    },
    /// The job was tried here and the engine was lost.
    #[error("it was tried and lost")]
    Tried,
}

/// A replica on which a job was lost. Two pools may call their replicas by the same name.
pub(crate) type Tried = (PoolId, ReplicaId);

/// Whether `replica` may run a job with these requirements.
pub(crate) fn check(
    requirements: &Requirements,
    tried: &[Tried],
    replica: &ReplicaView,
    gpu: GpuPolicy,
) -> Result<(), Misfit> {
    if requirements.pin_pool.as_ref().is_some_and(|pin| *pin != replica.pool) {
        return Err(Misfit::PinnedElsewhere);
    }
    //= ORCH-3421
    if requirements.pin_node.is_some() && requirements.pin_node != replica.node {
        return Err(Misfit::OtherNode);
    }
    if !replica.models.iter().any(|model| **model == *requirements.model) {
        return Err(Misfit::Model);
    }
    if !replica.workloads.contains(&requirements.workload) {
        return Err(Misfit::Workload);
    }
    if requirements.engine.as_ref().is_some_and(|engine| **engine != *replica.engine) {
        return Err(Misfit::Engine);
    }
    if requirements.avoid_pools.contains(&replica.pool) {
        return Err(Misfit::Avoided);
    }
    //= ORCH-3011
    if let Some(mask) = &requirements.device_mask
        && !replica.device.has_mask(mask)
    {
        return Err(Misfit::DeviceMask);
    }
    if replica.device == Device::Cpu && gpu == GpuPolicy::VramOnly {
        return Err(Misfit::CpuForbidden);
    }
    if let Some(limit) = replica.ctx_max
        && requirements.ctx > limit
    {
        return Err(Misfit::Context { limit });
    }
    //= ORCH-3420
    if let Some(need) = requirements.vram_need
        && let Some(have) = replica.memory()
        && need > have
    {
        return Err(Misfit::Vram { need, have });
    }
    if tried.iter().any(|(pool, name)| *name == replica.replica && *pool == replica.pool) {
        return Err(Misfit::Tried);
    }
    Ok(())
}
