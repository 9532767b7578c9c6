//! Short random sequences that shrink: against all invariants, and against a queue made of two lists.

use std::time::Duration;

use orchestrator_core::{
    AdmissionPolicy, AfterTokens, Budget, Effect, Event, FailReason, JobEnd, JobId, LeaseId, NewJob,
    Operation, OperationKind, Outcome, PlacementKind, PoolId, Priority, Readiness, RejectReason, ReplicaId,
    ReplicaView, Requirements, Rules, Scheduler, SessionId, SessionUse, Spent, Timestamp, sim::Checked,
};
use proptest::{prelude::*, sample::Index};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn replica(index: u8, slots: u32, readiness: Readiness) -> ReplicaView {
    let pool = PoolId::new(["a", "b"][usize::from(index / 2 % 2)]);
    let replica = ReplicaId::new(["r0", "r1"][usize::from(index % 2)]);
    ReplicaView { slots, readiness, ..ReplicaView::ready(pool, replica, "m") }
}

fn pool_id(index: u8) -> PoolId {
    PoolId::new(["a", "b"][usize::from(index % 2)])
}

/// A replica, or from 4 on a whole pool.
fn scope(index: u8) -> (PoolId, Option<ReplicaId>) {
    let of = replica(index, 0, Readiness::Ready);
    if index < 4 { (of.pool, Some(of.replica)) } else { (pool_id(index), None) }
}

/// Two sessions with room for a few jobs at a time.
fn session(id: u8) -> SessionUse {
    let (tokens, time) = (Some(40), Some(Duration::from_millis(2_500)));
    let budget = Some(Budget { tokens, time, cost: None });
    SessionUse { id: SessionId::from_u128((id % 2).into()), budget, tokens: 11 }
}

#[derive(Debug, Clone)]
enum Op {
    Submit { id: u8, batch: bool, pin: Option<u8>, deadline_ms: Option<u16>, max_attempts: u32 },
    Cancel(u8),
    End(Index, Outcome),
    Seen { replica: u8, slots: u32, readiness: Readiness },
    Gone(u8),
    Begin(u8, OperationKind, Option<u16>),
    Close(u8, u16),
    Open(u8),
    Settle(u8),
    Wait(u16),
    Shutdown,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Completed),
        2 => Just(Outcome::Aborted),
        2 => (0..2_u32).prop_map(|tokens_out| Outcome::Lost { tokens_out }),
        1 => (0..2_u32).prop_map(|tokens_out| Outcome::TimedOut { tokens_out }),
        2 => proptest::option::of(0..3_u64)
            .prop_map(|seconds| Outcome::Busy { retry_after: seconds.map(Duration::from_secs) }),
        1 => Just(Outcome::Refused),
        2 => (0..2_u32).prop_map(|tokens_out| Outcome::Evicted { tokens_out }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let submit = (0..12_u8, any::<bool>(), proptest::option::weighted(0.2, 0..3_u8))
        .prop_flat_map(|(id, batch, pin)| {
            (Just((id, batch, pin)), proptest::option::weighted(0.3, 0..3000_u16), 1..4_u32)
        })
        .prop_map(|((id, batch, pin), deadline_ms, max_attempts)| Op::Submit {
            id,
            batch,
            pin,
            deadline_ms,
            max_attempts,
        });
    let readiness = prop_oneof![5 => Just(Readiness::Ready), 1 => Just(Readiness::Draining), 1 => Just(Readiness::Unseen)];
    let kind =
        prop_oneof![Just(OperationKind::Drain), Just(OperationKind::Reload), Just(OperationKind::Purge)];
    let begin = (0..2_u8, kind, proptest::option::weighted(0.8, 0..2000_u16))
        .prop_map(|(pool, kind, ms)| Op::Begin(pool, kind, ms));
    prop_oneof![
        8 => submit,
        2 => (0..12_u8).prop_map(Op::Cancel),
        6 => (any::<Index>(), outcome()).prop_map(|(which, outcome)| Op::End(which, outcome)),
        4 => (0..4_u8, 0..3_u32, readiness)
            .prop_map(|(replica, slots, readiness)| Op::Seen { replica, slots, readiness }),
        1 => (0..4_u8).prop_map(Op::Gone),
        2 => begin,
        2 => (0..6_u8, 0..2000_u16).prop_map(|(scope, ms)| Op::Close(scope, ms)),
        2 => (0..6_u8).prop_map(Op::Open),
        1 => (0..2_u8).prop_map(Op::Settle),
        3 => (0..2000_u16).prop_map(Op::Wait),
        1 => Just(Op::Shutdown),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (0..4_u32, any::<bool>(), any::<bool>()).prop_map(|(capacity, drop, in_turn)| Rules {
        capacity,
        policy: if drop { AdmissionPolicy::DropLru } else { AdmissionPolicy::Reject },
        placement: if in_turn { PlacementKind::RoundRobin } else { PlacementKind::LeastLoaded },
        ..Rules::default()
    })
}

/// Everything checked, and what a driver must remember.
struct World {
    checked: Checked,
    now: Timestamp,
    leases: Vec<LeaseId>,
}

impl World {
    fn tell(&mut self, event: Event) -> Result<(), TestCaseError> {
        match self.checked.handle(self.now, event) {
            Ok(effects) => {
                let started = effects.iter().filter_map(|effect| match effect {
                    Effect::Dispatch(assignment) => Some(assignment.lease),
                    _ => None,
                });
                self.leases.extend(started);
                Ok(())
            }
            Err(breach) => {
                Err(TestCaseError::fail(format!("{breach}\n{}", self.checked.recent().join("\n"))))
            }
        }
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let event = match *op {
            Op::Submit { id, batch, pin, deadline_ms, max_attempts } => {
                let mut requirements = Requirements::of("m", 1);
                requirements.pin_pool = pin.map(|pin| PoolId::new(["a", "b", "nowhere"][usize::from(pin)]));
                let priority = if batch { Priority::Batch } else { Priority::Interactive };
                Event::Submit(NewJob {
                    deadline: deadline_ms.map(|ms| self.now + Duration::from_millis(ms.into())),
                    max_attempts,
                    size: u32::from(id) * 7,
                    fingerprint: (id % 3 == 0).then_some(id.into()),
                    after_tokens: if id % 2 == 0 { AfterTokens::TryAgain } else { AfterTokens::End },
                    session: (id < 6).then(|| session(id)),
                    ..NewJob::of(JobId::from_u128(id.into()), priority, requirements)
                })
            }
            Op::Cancel(id) => Event::Cancel(JobId::from_u128(id.into())),
            // Any lease there ever was: ends are told twice, too.
            Op::End(_, _) if self.leases.is_empty() => Event::Tick,
            Op::End(which, outcome) => {
                let spent = Spent { tokens: 9, warm: false };
                Event::AttemptEnded(*which.get(&self.leases), outcome, spent)
            }
            Op::Seen { replica: index, slots, readiness } => {
                Event::ReplicaSeen(replica(index, slots, readiness))
            }
            Op::Gone(index) => {
                let gone = replica(index, 0, Readiness::Ready);
                Event::ReplicaGone(gone.pool, gone.replica)
            }
            Op::Begin(pool, kind, ms) => {
                let deadline = ms.map(|ms| self.now + Duration::from_millis(ms.into()));
                Event::Begin { pool: pool_id(pool), operation: Operation { kind, deadline } }
            }
            Op::Close(of, ms) => {
                let (pool, replica) = scope(of);
                Event::Close { pool, replica, deadline: self.now + Duration::from_millis(ms.into()) }
            }
            Op::Open(of) => {
                let (pool, replica) = scope(of);
                Event::Open { pool, replica }
            }
            Op::Settle(pool) => Event::Settle { pool: pool_id(pool) },
            Op::Wait(ms) => {
                self.now = self.now + Duration::from_millis(ms.into());
                Event::Tick
            }
            Op::Shutdown => Event::Shutdown,
        };
        self.tell(event)
    }

    /// All faults stop: every job must come to its end, and every slot must become free.
    fn heal(&mut self) -> Result<(), TestCaseError> {
        for pool in 0..2 {
            self.apply(&Op::Settle(pool))?;
        }
        for of in 0..6 {
            self.apply(&Op::Open(of))?;
        }
        for _ in 0..100 {
            for index in 0..4 {
                self.tell(Event::ReplicaSeen(replica(index, 1, Readiness::Ready)))?;
            }
            for lease in std::mem::take(&mut self.leases) {
                self.tell(Event::AttemptEnded(lease, Outcome::Completed, Spent::default()))?;
            }
            self.now = self.now + Duration::from_secs(3);
            self.tell(Event::Tick)?;
        }
        prop_assert!(self.checked.scheduler().is_idle(), "something never ends");
        Ok(())
    }
}

proptest! {
    #![proptest_config(config(600))]

    //= ORCH-3026 type=test
    //= ORCH-3017 type=test
    #[test]
    fn no_short_sequence_breaks_an_invariant(rules in rules(), ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World {
            checked: Checked::new(rules, 1),
            now: Timestamp::from_micros(5),
            leases: Vec::new(),
        };
        world.apply(&Op::Seen { replica: 0, slots: 1, readiness: Readiness::Ready })?;
        for op in &ops {
            world.apply(op)?;
        }
        world.heal()?;
    }
}

/// A pool of one replica as anyone would write it down first: two lists and a number of slots.
struct Plain {
    slots: usize,
    capacity: usize,
    policy: AdmissionPolicy,
    waiting: [Vec<u8>; 2],
    /// Jobs that hold a slot, and whether they are alive.
    holding: Vec<(u8, bool)>,
}

impl Plain {
    fn is_live(&self, id: u8) -> bool {
        self.waiting.iter().any(|line| line.contains(&id)) || self.holding.contains(&(id, true))
    }

    fn submit(&mut self, id: u8, class: usize) -> Vec<String> {
        if self.is_live(id) {
            return vec![format!("reject {id} duplicate")];
        }
        if self.holding.len() < self.slots {
            self.holding.push((id, true));
            return vec![format!("accept {id} at 0"), format!("start {id}")];
        }
        let mut said = Vec::new();
        if self.waiting[0].len() + self.waiting[1].len() >= self.capacity {
            let victims = usize::from(class == 1 || !self.waiting[1].is_empty());
            match self.policy {
                AdmissionPolicy::Reject => return vec![format!("reject {id} full")],
                AdmissionPolicy::DropLru if self.waiting[victims].is_empty() => {
                    return vec![format!("reject {id} nothing to drop")];
                }
                AdmissionPolicy::DropLru => {
                    said.push(format!("finish {} dropped", self.waiting[victims].remove(0)));
                }
            }
        }
        let ahead: usize = self.waiting[..=class].iter().map(Vec::len).sum();
        self.waiting[class].push(id);
        said.push(format!("accept {id} at {ahead}"));
        said
    }

    fn cancel(&mut self, id: u8) -> Vec<String> {
        for line in &mut self.waiting {
            if let Some(place) = line.iter().position(|other| *other == id) {
                line.remove(place);
                return vec![format!("finish {id} canceled")];
            }
        }
        match self.holding.iter_mut().find(|it| **it == (id, true)) {
            Some((_, alive)) => {
                *alive = false;
                vec![format!("abort {id}"), format!("finish {id} canceled")]
            }
            None => Vec::new(),
        }
    }

    fn end(&mut self, place: usize) -> Vec<String> {
        let (id, alive) = self.holding.remove(place);
        let mut said = Vec::new();
        if alive {
            said.push(format!("finish {id} completed"));
        }
        if let Some(line) = self.waiting.iter_mut().find(|line| !line.is_empty()) {
            let next = line.remove(0);
            said.push(format!("start {next}"));
            self.holding.push((next, true));
        }
        said
    }
}

/// Words for effects; `held` maps leases to the jobs that hold them.
fn words(effects: &[Effect], held: &mut Vec<(LeaseId, u128)>) -> Vec<String> {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Accept(id, told) => format!("accept {} at {}", id.as_u128(), told.queue_position),
            Effect::Reject(id, told) => {
                let why = match told.reason {
                    RejectReason::DuplicateId => "duplicate",
                    RejectReason::QueueFull => "full",
                    RejectReason::NothingToDrop => "nothing to drop",
                    _ => "for no reason",
                };
                format!("reject {} {why}", id.as_u128())
            }
            Effect::Dispatch(told) => {
                held.push((told.lease, told.job.as_u128()));
                format!("start {}", told.job.as_u128())
            }
            Effect::Abort(lease) => {
                let (_, job) = held.iter().find(|(other, _)| other == lease).unwrap();
                format!("abort {job}")
            }
            Effect::Finish(id, end) => {
                let how = match end {
                    JobEnd::Completed => "completed",
                    JobEnd::Canceled => "canceled",
                    JobEnd::Failed(FailReason::Dropped) => "dropped",
                    JobEnd::Failed(_) => "failed",
                };
                format!("finish {} {how}", id.as_u128())
            }
            other => format!("{other:?}"),
        })
        .collect()
}

#[derive(Debug, Clone)]
enum PlainOp {
    Submit(u8, bool),
    Cancel(u8),
    End(Index),
}

fn plain_op() -> impl Strategy<Value = PlainOp> {
    prop_oneof![
        5 => (0..10_u8, any::<bool>()).prop_map(|(id, batch)| PlainOp::Submit(id, batch)),
        2 => (0..10_u8).prop_map(PlainOp::Cancel),
        3 => any::<Index>().prop_map(PlainOp::End),
    ]
}

proptest! {
    #![proptest_config(config(600))]

    //= ORCH-3004 type=test
    //= ORCH-3005 type=test
    //= ORCH-3024 type=test
    #[test]
    fn one_pool_behaves_like_two_lists(
        slots in 1..4_u8,
        rules in rules(),
        ops in prop::collection::vec(plain_op(), 1..80),
    ) {
        let mut scheduler = Scheduler::new(rules);
        let mut plain = Plain {
            slots: slots.into(),
            capacity: rules.capacity as usize,
            policy: rules.policy,
            waiting: Default::default(),
            holding: Vec::new(),
        };
        let now = Timestamp::from_micros(9);
        let mut held: Vec<(LeaseId, u128)> = Vec::new();
        scheduler.handle(now, Event::ReplicaSeen(replica(0, slots.into(), Readiness::Ready)));
        for op in ops {
            let (event, expected) = match op {
                PlainOp::Submit(id, batch) => {
                    let priority = if batch { Priority::Batch } else { Priority::Interactive };
                    let job = NewJob::of(JobId::from_u128(id.into()), priority, Requirements::of("m", 1));
                    (Event::Submit(job), plain.submit(id, usize::from(batch)))
                }
                PlainOp::Cancel(id) => {
                    (Event::Cancel(JobId::from_u128(id.into())), plain.cancel(id))
                }
                PlainOp::End(_) if held.is_empty() => continue,
                PlainOp::End(which) => {
                    let place = which.index(held.len());
                    let (lease, _) = held.remove(place);
                    let ended = Event::AttemptEnded(lease, Outcome::Completed, Spent::default());
                    (ended, plain.end(place))
                }
            };
            let told: Vec<Effect> = scheduler.handle(now, event).collect();
            prop_assert_eq!(words(&told, &mut held), expected);
        }
    }
}
