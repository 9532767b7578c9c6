//! No sequence of events breaks an invariant of the scheduler, and what was accepted comes to its end.
//!
//! Every step is held against the simulator's books, which say beforehand what must come of it. A second scheduler takes
//! the same events without the steps that the books put between, and must say the same.
#![no_main]

use std::{sync::Arc, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use orchestrator_core::{
    AdmissionPolicy, AfterTokens, Budget, Claimant, Device, Effect, Event, GpuPolicy, JobId, LeaseId, Loaded,
    NewJob, NodeId, Operation, OperationKind, Outcome, PlacementKind, PoolId, Priority, Readiness, Recovered,
    ReplicaId, ReplicaView, Requirements, Rules, Scheduler, SessionId, SessionRules, SessionUse, Spent,
    Timestamp, Workload, sim::Checked,
};

/// Longer sequences than these find nothing that several short ones would not.
const OPS_MAX: usize = 200;

fuzz_target!(|input: (World, Vec<Op>)| {
    let (world, ops) = input;
    let rules = world.rules();
    let mut run = Run {
        checked: Checked::new(rules, 1),
        shadow: Scheduler::new(rules),
        now: Timestamp::from_micros(5),
        leases: Vec::new(),
        over: 0,
    };
    for op in ops.iter().take(OPS_MAX) {
        run.apply(op);
    }
    run.heal();
});

#[derive(Debug, Arbitrary)]
struct World {
    capacity: u8,
    drop_lru: bool,
    in_turn: bool,
    allow_cpu: bool,
    turns: u8,
    sessions: u8,
    ttl_ms: u16,
    budget: Limits,
}

impl World {
    fn rules(&self) -> Rules {
        Rules {
            capacity: u32::from(self.capacity % 8),
            policy: if self.drop_lru { AdmissionPolicy::DropLru } else { AdmissionPolicy::Reject },
            placement: if self.in_turn { PlacementKind::RoundRobin } else { PlacementKind::LeastLoaded },
            gpu: if self.allow_cpu { GpuPolicy::AllowCpu } else { GpuPolicy::VramOnly },
            sessions: SessionRules {
                ttl: Duration::from_millis(u64::from(self.ttl_ms) + 1),
                turns: u32::from(self.turns) + 1,
                max: usize::from(self.sessions % 6) + 1,
                budget: self.budget.budget(),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, Arbitrary)]
struct Limits {
    tokens: Option<u16>,
    time_ms: Option<u16>,
    cost: Option<u16>,
}

impl Limits {
    fn budget(self) -> Budget {
        Budget {
            tokens: self.tokens.map(u64::from),
            time: self.time_ms.map(|ms| Duration::from_millis(ms.into())),
            cost: self.cost.map(u64::from),
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Job {
    id: u8,
    batch: bool,
    model: u8,
    workload: u8,
    pin_pool: Option<u8>,
    pin_node: Option<u8>,
    prefer: Option<u8>,
    avoid: Option<u8>,
    mask: Option<u8>,
    ctx: u16,
    vram_gib: Option<u8>,
    deadline_ms: Option<u16>,
    attempts: u8,
    size: u8,
    fingerprint: Option<u8>,
    goes_on: bool,
    like: Option<u8>,
    session: Option<(u8, u16, Option<Limits>)>,
}

#[derive(Debug, Arbitrary)]
struct Seen {
    replica: u8,
    slots: u8,
    readiness: u8,
    model: u8,
    workloads: u8,
    ctx: Option<u16>,
    free_gib: Option<u8>,
    total_gib: Option<u8>,
    unloaded: bool,
    device: u8,
    price: u16,
}

#[derive(Debug, Arbitrary)]
enum Op {
    Submit(Job),
    Cancel(u8),
    End { which: u8, outcome: u8, tokens: u8, retry_ms: Option<u16>, spent: u16, warm: bool },
    EndAgain(u8),
    Seen(Seen),
    Gone(u8),
    Begin { pool: u8, kind: u8, ms: Option<u16> },
    Close { scope: u8, ms: u16 },
    Open(u8),
    Settle(u8),
    EndSession(u8),
    Recover { job: Job, pool: u8, attempts: u8 },
    Wait(u16),
    WaitUntilDue,
    Shutdown,
}

struct Run {
    checked: Checked,
    shadow: Scheduler,
    now: Timestamp,
    leases: Vec<LeaseId>,
    /// How many of the leases were told to have ended.
    over: usize,
}

impl Run {
    fn tell(&mut self, event: Event) {
        let shadow: Vec<Effect> = self.shadow.handle(self.now, event.clone()).collect();
        match self.checked.handle(self.now, event) {
            Ok(effects) => {
                assert_eq!(shadow, effects, "the same events without a tick between them have other effects");
                self.leases.extend(effects.iter().filter_map(|effect| match effect {
                    Effect::Dispatch(assignment) => Some(assignment.lease),
                    _ => None,
                }));
            }
            Err(breach) => panic!("{breach}\n{}", self.checked.recent().join("\n")),
        }
    }

    fn apply(&mut self, op: &Op) {
        let event = match *op {
            Op::Submit(ref job) => Event::Submit(self.job(job)),
            Op::Cancel(id) => Event::Cancel(job_id(id)),
            Op::End { which, outcome: kind, tokens, retry_ms, spent, warm } => {
                let live = self.leases.len() - self.over;
                let Some(place) = usize::from(which).checked_rem(live) else { return };
                // Those that have ended stand first.
                self.leases.swap(self.over, self.over + place);
                self.over += 1;
                let spent = Spent { tokens: spent.into(), warm };
                Event::AttemptEnded(self.leases[self.over - 1], outcome(kind, tokens, retry_ms), spent)
            }
            Op::EndAgain(which) => {
                let Some(place) = usize::from(which).checked_rem(self.over) else { return };
                Event::AttemptEnded(self.leases[place], Outcome::Completed, Spent::default())
            }
            Op::Seen(ref seen) => Event::ReplicaSeen(seen.view()),
            Op::Gone(index) => Event::ReplicaGone(pool(index), replica(index)),
            Op::Begin { pool: index, kind, ms } => {
                let kind = [OperationKind::Drain, OperationKind::Reload, OperationKind::Purge]
                    [usize::from(kind % 3)];
                let deadline = ms.map(|ms| self.after(ms));
                Event::Begin { pool: pool(index), operation: Operation { kind, deadline } }
            }
            Op::Close { scope, ms } => {
                Event::Close { pool: pool(scope), replica: scoped(scope), deadline: self.after(ms) }
            }
            Op::Open(scope) => Event::Open { pool: pool(scope), replica: scoped(scope) },
            Op::Settle(index) => Event::Settle { pool: pool(index) },
            Op::EndSession(index) => Event::EndSession(SessionId::from_u128((index % 4).into())),
            Op::Recover { ref job, pool: index, attempts } => {
                // Nothing comes back into a pool that was never heard of, nor past its deadline; of its session and its
                // like nothing is known here.
                if !self.checked.scheduler().pools().iter().any(|known| known.pool == pool(index)) {
                    return;
                }
                let mut job = self.job(job);
                job.deadline = job.deadline.filter(|deadline| *deadline > self.now);
                (job.session, job.fingerprint) = (None, None);
                Event::Recover(Recovered { job, pool: pool(index), attempts: u32::from(attempts % 4) })
            }
            Op::Wait(ms) => {
                self.now = self.after(ms);
                Event::Tick
            }
            Op::WaitUntilDue => {
                self.now = self.checked.scheduler().next_due().map_or(self.now, |due| due.max(self.now));
                Event::Tick
            }
            Op::Shutdown => Event::Shutdown,
        };
        self.tell(event);
    }

    fn after(&self, ms: u16) -> Timestamp {
        self.now + Duration::from_millis(ms.into())
    }

    fn job(&self, job: &Job) -> NewJob {
        let mut wanted = Requirements::of(model(job.model), job.ctx.into());
        wanted.workload = workload(job.workload);
        wanted.pin_pool = job.pin_pool.map(pool);
        wanted.pin_node = job.pin_node.map(node);
        wanted.prefer_pools.extend(job.prefer.map(pool));
        wanted.avoid_pools.extend(job.avoid.map(pool));
        wanted.device_mask = job.mask.map(|mask| Arc::from(["0", "0,1", "cpu"][usize::from(mask % 3)]));
        wanted.vram_need = job.vram_gib.map(gib);
        NewJob {
            deadline: job.deadline_ms.map(|ms| self.after(ms)),
            max_attempts: u32::from(job.attempts % 4) + 1,
            size: job.size.into(),
            fingerprint: job.fingerprint.map(|it| u64::from(it % 4)),
            after_tokens: if job.goes_on { AfterTokens::TryAgain } else { AfterTokens::End },
            claimant: job.like.map_or(Claimant::Job, |like| Claimant::Like(u64::from(like % 4))),
            session: job.session.map(|(id, tokens, limits)| SessionUse {
                id: SessionId::from_u128((id % 4).into()),
                tokens: tokens.into(),
                budget: limits.map(Limits::budget),
            }),
            ..NewJob::of(
                job_id(job.id),
                if job.batch { Priority::Batch } else { Priority::Interactive },
                wanted,
            )
        }
    }

    /// All faults stop: every job must come to its end, and every slot must become free.
    fn heal(&mut self) {
        for scope in 0..12 {
            self.tell(Event::Settle { pool: pool(scope) });
            self.tell(Event::Open { pool: pool(scope), replica: Some(replica(scope)) });
            self.tell(Event::Open { pool: pool(scope), replica: None });
        }
        for _ in 0..60 {
            for index in 0..9 {
                let view = ReplicaView::ready(pool(index), replica(index), "m0");
                let models = ["m0", "m1", "m2"].map(Arc::from).to_vec();
                self.tell(Event::ReplicaSeen(ReplicaView { models, ..view }));
            }
            for lease in self.leases.split_off(self.over) {
                self.tell(Event::AttemptEnded(lease, Outcome::Completed, Spent::default()));
            }
            if self.checked.scheduler().is_idle() {
                return;
            }
            let due = self.checked.scheduler().next_due().unwrap_or(self.now);
            self.now = due.max(self.now) + Duration::from_secs(1);
            self.tell(Event::Tick);
        }
        // A job that no replica suits waits as long as it may; a server that goes down ends it, too.
        self.tell(Event::Shutdown);
        self.tell(Event::StopRunning);
        for lease in self.leases.split_off(self.over) {
            self.tell(Event::AttemptEnded(lease, Outcome::Aborted, Spent::default()));
        }
        assert!(self.checked.scheduler().is_idle(), "something never ends");
    }
}

impl Seen {
    fn view(&self) -> ReplicaView {
        let readiness = match self.readiness % 12 {
            0 => Readiness::Unseen,
            1 => Readiness::Draining,
            2 => Readiness::Unreachable,
            3 => Readiness::Offline,
            4 => Readiness::Barred,
            _ => Readiness::Ready,
        };
        let device = match self.device % 6 {
            0 => Device::Cpu,
            1 => Device::Mask(Arc::from("0")),
            2 => Device::Mask(Arc::from("0,1")),
            _ => Device::Unstated,
        };
        ReplicaView {
            node: (self.replica % 4 != 3).then(|| node(self.replica)),
            models: vec![model(self.model), model(self.model / 3)],
            workloads: (0..=self.workloads % 3).map(workload).collect(),
            slots: u32::from(self.slots % 5),
            ctx_max: self.ctx.map(u32::from),
            vram_free_bytes: self.free_gib.map(gib),
            vram_total_bytes: self.total_gib.map(gib),
            loaded: if self.unloaded { Loaded::No } else { Loaded::Yes },
            device,
            readiness,
            price: u64::from(self.price) * 100,
            ..ReplicaView::ready(pool(self.replica), replica(self.replica), "m0")
        }
    }
}

fn outcome(kind: u8, tokens: u8, retry_ms: Option<u16>) -> Outcome {
    let tokens_out = tokens.into();
    match kind % 10 {
        0 => Outcome::Lost { tokens_out },
        1 => Outcome::TimedOut { tokens_out },
        2 => Outcome::Busy { retry_after: retry_ms.map(|ms| Duration::from_millis(ms.into())) },
        3 => Outcome::Refused,
        4 => Outcome::Evicted { tokens_out },
        5 => Outcome::Aborted,
        _ => Outcome::Completed,
    }
}

fn job_id(index: u8) -> JobId {
    JobId::from_u128((index % 24).into())
}

fn pool(index: u8) -> PoolId {
    PoolId::new(["a", "b", "c"][usize::from(index % 3)])
}

fn replica(index: u8) -> ReplicaId {
    ReplicaId::new(["r0", "r1", "r2"][usize::from(index / 3 % 3)])
}

/// A replica, or its whole pool.
fn scoped(scope: u8) -> Option<ReplicaId> {
    (scope % 12 < 9).then(|| replica(scope))
}

fn node(index: u8) -> NodeId {
    NodeId::new(["n0", "n1"][usize::from(index % 2)])
}

fn model(index: u8) -> Arc<str> {
    Arc::from(["m0", "m0", "m0", "m1", "m2", "unheard-of"][usize::from(index % 6)])
}

fn workload(index: u8) -> Workload {
    [Workload::Completion, Workload::Embedding, Workload::Rerank][usize::from(index % 3)]
}

fn gib(number: u8) -> u64 {
    u64::from(number % 12) << 30
}
