//! Which replicas may run which job, apart from whether they have room now.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    ids::{NodeId, PoolId, ReplicaId},
    pool::ReplicaKey,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
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
    Fitting::new(requirements, tried, gpu).check(None, replica)
}

/// One job, held against one replica after the other.
///
/// The replicas of a pool mostly serve the same, so what they serve is compared once for those that are alike.
#[derive(Debug)]
pub(crate) struct Fitting<'a> {
    requirements: &'a Requirements,
    tried: &'a [Tried],
    gpu: GpuPolicy,
    /// The verdict on what is served by the replicas that are like this one.
    last: Option<(ReplicaKey, Result<(), Misfit>)>,
}

impl<'a> Fitting<'a> {
    pub(crate) fn new(requirements: &'a Requirements, tried: &'a [Tried], gpu: GpuPolicy) -> Self {
        Self { requirements, tried, gpu, last: None }
    }

    /// Whether `replica` may run the job. `like` is a replica of its pool that serves the same.
    #[inline]
    pub(crate) fn check(&mut self, like: Option<ReplicaKey>, replica: &ReplicaView) -> Result<(), Misfit> {
        self.check_pins(replica)?;
        let verdict = match self.last {
            Some((known, verdict)) if like == Some(known) => verdict,
            _ => {
                let verdict = self.check_service(replica);
                self.last = like.map(|like| (like, verdict));
                verdict
            }
        };
        verdict?;
        self.check_room(replica)?;
        if self.tried.iter().any(|(pool, name)| *name == replica.replica && *pool == replica.pool) {
            return Err(Misfit::Tried);
        }
        Ok(())
    }

    #[inline]
    fn check_pins(&self, replica: &ReplicaView) -> Result<(), Misfit> {
        let Requirements { pin_pool, pin_node, .. } = self.requirements;
        if pin_pool.as_ref().is_some_and(|pin| *pin != replica.pool) {
            return Err(Misfit::PinnedElsewhere);
        }
        //= ORCH-3421
        if pin_node.is_some() && *pin_node != replica.node {
            return Err(Misfit::OtherNode);
        }
        Ok(())
    }

    /// Looks at nothing of a replica but its pool and what [`ReplicaView::does_the_same`] compares.
    fn check_service(&self, replica: &ReplicaView) -> Result<(), Misfit> {
        let requirements = self.requirements;
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
        if replica.device == Device::Cpu && self.gpu == GpuPolicy::VramOnly {
            return Err(Misfit::CpuForbidden);
        }
        Ok(())
    }

    #[inline]
    fn check_room(&self, replica: &ReplicaView) -> Result<(), Misfit> {
        if let Some(limit) = replica.ctx_max
            && self.requirements.ctx > limit
        {
            return Err(Misfit::Context { limit });
        }
        //= ORCH-3420
        if let Some(need) = self.requirements.vram_need
            && let Some(have) = replica.memory()
            && need > have
        {
            return Err(Misfit::Vram { need, have });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Pool, Presence, Replica};

    /// Picks one of a list by a digit of a number.
    fn pick<T: Clone, const N: usize>(number: &mut usize, from: &[T; N]) -> T {
        let picked = from[*number % N].clone();
        *number /= N;
        picked
    }

    fn replica(mut number: usize) -> Replica {
        let name = ReplicaId::new(format!("r{}", number % 3));
        let view = ReplicaView {
            models: pick(&mut number, &[vec!["m".into()], vec!["n".into(), "m".into()], vec!["n".into()]]),
            device: pick(&mut number, &[Device::Unstated, Device::Cpu, Device::Mask("0".into())]),
            engine: pick(&mut number, &["one".into(), "two".into()]),
            ctx_max: pick(&mut number, &[None, Some(10)]),
            workloads: pick(&mut number, &[vec![Workload::Completion], vec![Workload::Embedding]]),
            node: pick(&mut number, &[None, Some(NodeId::new("here"))]),
            vram_total_bytes: pick(&mut number, &[None, Some(5)]),
            ..ReplicaView::ready(PoolId::new("p"), name, "m")
        };
        Replica::new(view)
    }

    fn requirements(mut number: usize) -> Requirements {
        Requirements {
            engine: pick(&mut number, &[None, Some("two".into())]),
            device_mask: pick(&mut number, &[None, Some("0".into())]),
            pin_node: pick(&mut number, &[None, Some(NodeId::new("here"))]),
            avoid_pools: pick(&mut number, &[Vec::new(), vec![PoolId::new("p")]]),
            pin_pool: pick(&mut number, &[None, None, Some(PoolId::new("q"))]),
            vram_need: pick(&mut number, &[None, Some(6)]),
            ..Requirements::of(pick(&mut number, &["m", "n", "o"]), 11)
        }
    }

    #[test]
    fn a_replica_that_is_like_the_last_one_gets_the_verdict_that_it_gets_alone() {
        let mut pool = Pool::new(PoolId::new("p"));
        // Some come twice in a row, some far apart.
        pool.replicas = (0..288).map(|number| replica(number * 7 / 2)).collect();
        pool.find_likes();
        let tried = [(PoolId::new("p"), ReplicaId::new("r1"))];
        let mut verdicts = std::collections::BTreeSet::new();
        for requirements in (0..288).map(requirements) {
            let mut fitting = Fitting::new(&requirements, &tried, GpuPolicy::VramOnly);
            for it in pool.replicas.iter().filter(|it| it.presence == Presence::Here) {
                let like = ReplicaKey { pool: 0, replica: it.like };
                let verdict = fitting.check(Some(like), &it.view);
                assert_eq!(verdict, check(&requirements, &tried, &it.view, GpuPolicy::VramOnly));
                verdicts.insert(verdict);
            }
        }
        assert_eq!(verdicts.len(), 12, "each misfit, and none: {verdicts:?}");
        assert!(pool.replicas.iter().enumerate().any(|(index, it)| it.like != index));
    }
}
