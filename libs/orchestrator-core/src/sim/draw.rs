//! What a random world is made of, and what happens in it.

use std::{sync::Arc, time::Duration};

use super::random::Random;
use crate::{
    AdmissionPolicy, AfterTokens, Budget, Claimant, Device, GpuPolicy, JobId, Loaded, NewJob, NodeId,
    OperationKind, Outcome, PlacementKind, PoolId, Priority, Readiness, ReplicaId, ReplicaView, Requirements,
    Rules, SessionId, SessionRules, SessionUse, Spent, Timestamp, Workload,
};

/// How busy the clients are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mood {
    Even,
    Burst,
    Lull,
}

impl Mood {
    pub(super) fn draw(random: &mut Random) -> Self {
        [Self::Even, Self::Burst, Self::Lull][random.weighted(&[6, 2, 3])]
    }

    /// How often a job comes, and how often an attempt ends.
    pub(super) fn weights(self) -> [u64; 2] {
        match self {
            Self::Even => [400, 380],
            Self::Burst => [700, 150],
            Self::Lull => [80, 500],
        }
    }
}

/// What does not change while a world lives.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) rules: Rules,
    /// Each replica at its best.
    pub(super) homes: Vec<ReplicaView>,
    pub(super) pools: Vec<PoolId>,
    pub(super) nodes: [NodeId; 3],
    models: Vec<Arc<str>>,
    engines: [Arc<str>; 2],
    /// How many attempts in a hundred go wrong.
    faults: u64,
}

impl Map {
    pub(super) fn draw(random: &mut Random) -> Self {
        let rules = Rules {
            capacity: random.small(0, 20),
            policy: [AdmissionPolicy::Reject, AdmissionPolicy::DropLru][random.index(2)],
            placement: [PlacementKind::RoundRobin, PlacementKind::LeastLoaded][random.index(2)],
            gpu: [GpuPolicy::VramOnly, GpuPolicy::AllowCpu][random.index(2)],
            sessions: SessionRules {
                ttl: Duration::from_millis(random.between(50, 20_000)),
                turns: random.small(2, 40),
                max: random.index(6) + 4,
                budget: if random.chance(50) { Budget::default() } else { budget(random) },
            },
        };
        let count = random.between(1, 4);
        let mut map = Self {
            rules,
            homes: Vec::new(),
            pools: (0..count).map(|index| PoolId::new(format!("p{index}"))).collect(),
            nodes: ["n0", "n1", "n2"].map(NodeId::new),
            models: ["m0", "m1", "m2"].map(Arc::from).to_vec(),
            engines: ["llamacpp", "vllm"].map(Arc::from),
            faults: [0, 5, 20, 50][random.index(4)],
        };
        for pool in map.pools.clone() {
            let (engine, device) = (Arc::clone(&map.engines[random.index(2)]), device(random));
            let models = map.some_models(random);
            // The names of replicas are the same in each pool, as they may be.
            for replica in 0..random.between(1, 4) {
                let view = ReplicaView {
                    pool: pool.clone(),
                    replica: ReplicaId::new(format!("r{replica}")),
                    node: random.chance(85).then(|| map.nodes[random.index(3)].clone()),
                    engine: Arc::clone(&engine),
                    models: models.clone(),
                    workloads: workloads(random),
                    slots: if random.chance(80) { random.small(1, 3) } else { random.small(4, 12) },
                    ctx_max: random.chance(60).then(|| random.small(1, 8) * 1024),
                    vram_free_bytes: random.chance(70).then_some(4 << 30),
                    vram_total_bytes: random.chance(60).then(|| random.between(1, 2) << 32),
                    loaded: Loaded::Yes,
                    device: device.clone(),
                    readiness: Readiness::Ready,
                    price: random.below(3) * 500_000,
                };
                map.homes.push(view);
            }
        }
        map
    }

    pub(super) fn some_models(&self, random: &mut Random) -> Vec<Arc<str>> {
        let mut models = self.models.clone();
        models.rotate_left(random.weighted(&[6, 2, 1]));
        models.truncate(1 + random.index(2));
        models
    }

    pub(super) fn job(&self, random: &mut Random, now: Timestamp, id: JobId) -> NewJob {
        let priority = Priority::ALL[random.index(2)];
        let requirements = self.requirements(random);
        let deadline = match random.below(100) {
            0 => Some(now),
            1..20 => Some(now + Duration::from_millis(random.between(1, 400))),
            20..35 => Some(now + Duration::from_millis(random.between(1, 20_000))),
            _ => None,
        };
        let fingerprint = random.chance(20).then(|| random.below(40));
        let (max_attempts, size) = (random.small(1, 3), random.small(0, 100));
        let after_tokens = [AfterTokens::End, AfterTokens::TryAgain][usize::from(random.chance(30))];
        let claimant = if random.chance(70) { Claimant::Job } else { Claimant::Like(random.below(6)) };
        let session = random.chance(40).then(|| SessionUse {
            id: SessionId::from_u128(random.below(8).into()),
            budget: random.chance(10).then(|| budget(random)),
            tokens: random.between(1, 400),
        });
        NewJob {
            id,
            priority,
            requirements,
            deadline,
            max_attempts,
            size,
            fingerprint,
            after_tokens,
            claimant,
            session,
        }
    }

    pub(super) fn session(random: &mut Random) -> SessionId {
        SessionId::from_u128(random.below(8).into())
    }

    fn requirements(&self, random: &mut Random) -> Requirements {
        let served = random.pick(&self.homes).and_then(|home| random.pick(&home.models));
        let model = match random.below(100) {
            0..2 => Arc::from("unheard-of"),
            2..10 => Arc::clone(&self.models[random.index(3)]),
            _ => Arc::clone(served.unwrap_or(&self.models[0])),
        };
        let mut wanted = Requirements::of(model, random.small(1, 2048));
        if random.chance(10) {
            wanted.workload = [Workload::Embedding, Workload::Rerank][random.index(2)];
        }
        if random.chance(30) {
            wanted.vram_need = Some([1 << 20, 1 << 30, 3 << 30, 4 << 30, 6 << 30, 9 << 30][random.index(6)]);
        }
        if random.chance(50) {
            return wanted;
        }
        if random.chance(4) {
            wanted.ctx = 20_000;
        }
        if random.chance(20) {
            wanted.pin_pool = random.pick(&self.pools).cloned();
        }
        if random.chance(2) {
            wanted.pin_pool = Some(PoolId::new("nowhere"));
        }
        if random.chance(15) {
            wanted.pin_node = random.pick(&self.nodes).cloned();
        }
        if random.chance(2) {
            wanted.pin_node = Some(NodeId::new("nowhere"));
        }
        if random.chance(25) {
            wanted.prefer_pools.extend(random.pick(&self.pools).cloned());
        }
        if random.chance(15) {
            wanted.avoid_pools.extend(random.pick(&self.pools).cloned());
        }
        if random.chance(10) {
            wanted.engine = random.pick(&self.engines).cloned();
        }
        if random.chance(10) {
            wanted.device_mask = Some(Arc::from(["0", "0,1", "cpu"][random.index(3)]));
        }
        wanted
    }

    /// How an attempt ends.
    pub(super) fn outcome(&self, random: &mut Random) -> Outcome {
        if random.chance(self.faults) { fault(random) } else { Outcome::Completed }
    }
}

/// How an attempt ends that was stopped: it usually says so; not always.
pub(super) fn outcome_of_stopped(random: &mut Random) -> Outcome {
    if random.chance(75) { Outcome::Aborted } else { fault(random) }
}

/// How an attempt ends that was evicted: it usually says so, unless it ended by itself before.
pub(super) fn outcome_of_evicted(random: &mut Random) -> Outcome {
    match random.weighted(&[6, 2, 2]) {
        0 => Outcome::Evicted { tokens_out: if random.chance(60) { 0 } else { random.small(1, 500) } },
        1 => Outcome::Completed,
        _ => fault(random),
    }
}

fn fault(random: &mut Random) -> Outcome {
    let tokens_out = random.small(1, 500);
    match random.weighted(&[4, 2, 2, 1, 3, 1, 1, 1, 1]) {
        0 => Outcome::Lost { tokens_out: 0 },
        1 => Outcome::Lost { tokens_out },
        2 => Outcome::TimedOut { tokens_out: 0 },
        3 => Outcome::TimedOut { tokens_out },
        4 => {
            let retry_after = random.chance(60).then(|| Duration::from_millis(random.below(40_000)));
            let at_once = random.chance(20).then_some(Duration::ZERO);
            Outcome::Busy { retry_after: at_once.or(retry_after) }
        }
        5 => Outcome::Refused,
        6 => Outcome::Aborted,
        7 => Outcome::Evicted { tokens_out: if random.chance(60) { 0 } else { tokens_out } },
        _ => Outcome::Completed,
    }
}

/// What an attempt used: mostly within what its job may use.
pub(super) fn spent(random: &mut Random) -> Spent {
    Spent { tokens: random.below(420), warm: random.chance(50) }
}

fn budget(random: &mut Random) -> Budget {
    let tokens = random.chance(60).then(|| random.between(50, 4000));
    let time = random.chance(60).then(|| Duration::from_millis(random.between(0, 8_000)));
    let cost = random.chance(40).then(|| random.between(10, 2000));
    Budget { tokens, time, cost }
}

fn workloads(random: &mut Random) -> Vec<Workload> {
    let all = [Workload::Completion, Workload::Embedding, Workload::Rerank];
    all[..[1, 1, 2, 3][random.index(4)]].to_vec()
}

fn device(random: &mut Random) -> Device {
    match random.weighted(&[4, 1, 3, 1]) {
        0 => Device::Unstated,
        1 => Device::Cpu,
        2 => Device::Mask(Arc::from("0")),
        _ => Device::Mask(Arc::from("0,1")),
    }
}

/// A kind of operation.
pub(super) fn operation(random: &mut Random) -> OperationKind {
    [OperationKind::Drain, OperationKind::Reload, OperationKind::Purge][random.weighted(&[4, 4, 2])]
}

/// A deadline that is over already, near or far.
pub(super) fn deadline(random: &mut Random, now: Timestamp) -> Timestamp {
    match random.weighted(&[2, 5, 3]) {
        0 => now,
        1 => now + Duration::from_millis(random.below(300)),
        _ => now + Duration::from_millis(random.below(20_000)),
    }
}

/// Mostly Ready.
pub(super) fn readiness(random: &mut Random) -> Readiness {
    match random.weighted(&[82, 4, 5, 5, 3, 2]) {
        0 => Readiness::Ready,
        1 => Readiness::Unseen,
        2 => Readiness::Draining,
        3 => Readiness::Unreachable,
        4 => Readiness::Offline,
        _ => Readiness::Barred,
    }
}
